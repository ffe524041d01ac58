//! An owner that can be killed: this test binary, run again as another process.
//!
//! It starts a database, inserts rows one by one, and reports each that was acknowledged on its standard output.

use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use boocoder_local_pg::LocalPg;

use crate::support;

const PLACE: &str = "LOCAL_PG_TEST_PLACE";
const STARTED: &str = "@started ";
const ACKNOWLEDGED: &str = "@acknowledged ";

/// A process that owns a database. It is killed when this value is dropped.
pub(crate) struct Owner {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Owner {
    /// Starts the process, from what is installed, without waiting for its database.
    pub(crate) fn spawn(place: &Path) -> Self {
        Self::run(Command::new(std::env::current_exe().unwrap()), place)
    }

    /// The same as a user who is not root. That user may not be able to enter the build directory, so the program is
    /// copied.
    pub(crate) fn spawn_as(uid: u32, place: &Path) -> Self {
        let program = place.join("owner");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let mut command = Command::new(program);
        command.uid(uid).gid(uid).current_dir("/");
        Self::run(command, place)
    }

    fn run(mut command: Command, place: &Path) -> Self {
        command.args(["--exact", "owner::process", "--nocapture"]).env(PLACE, place);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until its database runs; the connection string.
    pub(crate) fn started(&mut self) -> String {
        self.next(STARTED)
    }

    /// Waits for the next row; its number.
    pub(crate) fn acknowledged(&mut self) -> i64 {
        self.next(ACKNOWLEDGED).strip_suffix('.').unwrap().parse().unwrap()
    }

    fn next(&mut self, kind: &str) -> String {
        loop {
            let line = self.lines.next().expect("the owner ended").unwrap();
            if let Some((_, rest)) = line.split_once(kind) {
                return rest.to_owned();
            }
        }
    }

    /// `kill -9`, then the number of the last row that was acknowledged before it.
    pub(crate) fn kill(mut self) -> Option<i64> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let lines = self.lines.by_ref().map_while(Result::ok);
        // The last line may be cut short by the kill.
        lines.filter_map(|line| line.split_once(ACKNOWLEDGED)?.1.strip_suffix('.')?.parse().ok()).last()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "this is the main function of a process, which reads its environment")]
async fn process() {
    // The other process of tests that kill the owner of a database; on its own it has nothing to do.
    let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else { return };
    let database = LocalPg::start(support::config(&place)).await.unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "{STARTED}{}", database.connection_string()).unwrap();
    let client = support::connect(&database.connection_string()).await;
    client.batch_execute("CREATE TABLE IF NOT EXISTS rows (number bigint PRIMARY KEY)").await.unwrap();
    for number in support::count(&client, "rows").await + 1.. {
        client.execute("INSERT INTO rows VALUES ($1)", &[&number]).await.unwrap();
        writeln!(out, "{ACKNOWLEDGED}{number}.").unwrap();
    }
}
