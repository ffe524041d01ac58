//! The host of a server that agents share, as the server's program is one when it is told to be: `test_server_host DIRECTORY
//! MARK`, and the agent on standard input.

use boocoder_backend::host_server;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let (dir, mark) = (arguments.next().expect("a directory"), arguments.next().expect("a mark"));
    let mark = mark.into_string().expect("utf-8");
    host_server(dir.into(), mark, std::env::vars_os().collect()).await.expect("the host works");
}
