//! Stands where opencode's program is expected, and gets in the way: `test_opencode DIRECTORY PROGRAM ARGUMENT…` starts the
//! real one and hands on what goes to and fro, except while there is a file `cut` in the directory: then every connection
//! is dropped and none is taken. `test_opencode VERSION` says that it is a server of that version, and nothing else.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const READY: &str = "opencode server listening on ";

#[expect(clippy::print_stdout, reason = "standard output is where the server says that it listens")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).take_while(|argument| argument != "--hostname").collect();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    match &arguments[..] {
        [version] => {
            println!("{READY}http://{address}");
            pretend(&listener, version);
        }
        [dir, program, arguments @ ..] => {
            let (child, url) = start(program, arguments);
            println!("{READY}http://{address}");
            hand_on(&listener, url.trim_start_matches("http://"), &PathBuf::from(dir).join("cut"));
            drop(child);
        }
        [] => panic!("it is not told what to do"),
    }
}

fn start(program: &str, arguments: &[String]) -> (Child, String) {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .args(["--hostname", "127.0.0.1", "--port", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().expect("the server starts");
    let mut output = BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    while !line.contains(READY) {
        line.clear();
        assert!(output.read_line(&mut line).expect("readable") > 0, "the server says where it listens");
    }
    let url = line.trim().rsplit(' ').next().expect("an address").to_owned();
    thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    (child, url)
}

fn hand_on(listener: &TcpListener, to: &str, cut: &std::path::Path) {
    let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let (dropped, cut_here) = (Arc::clone(&open), cut.to_owned());
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_millis(10));
            if cut_here.exists() {
                for stream in dropped.lock().expect("not poisoned").drain(..) {
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                }
            }
        }
    });
    for near in listener.incoming() {
        let near = near.expect("a connection");
        if cut.exists() {
            continue;
        }
        let Ok(far) = TcpStream::connect(to) else { continue };
        open.lock()
            .expect("not poisoned")
            .extend([near.try_clone().expect("a clone"), far.try_clone().expect("a clone")]);
        pipe(near.try_clone().expect("a clone"), far.try_clone().expect("a clone"));
        pipe(far, near);
    }
}

fn pipe(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}

fn pretend(listener: &TcpListener, version: &str) {
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let body = format!(r#"{{"healthy":true,"version":"{version}"}}"#);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
        let _ = write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    }
}
