//! Terminals for an agent: commands in the worktree, each in a process group of its own, with a limit on their output.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use agent_client_protocol::Error;
use boocoder_model::{ContentPart, ToolCallSnapshot, ToolContent, TurnId};
use serde_json::{Value, json};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::connection::AgentRequest;
use crate::limits::{LIVE_OUTPUT, READ_BUFFER, SHOWN_OUTPUT};
use crate::process::{self, Exit, Process, Rest, wait_gone};
use crate::registry::find_program;
use crate::{Environment, Limits};

/// The terminals of one session.
pub(super) struct Terminals {
    worktree: PathBuf,
    environment: Environment,
    owner: Option<String>,
    limits: Limits,
    made: u64,
    open: BTreeMap<String, Terminal>,
    /// Those that were released and may not have gone yet.
    leaving: Vec<watch::Receiver<bool>>,
    /// What released ones said, the last one last: an agent shows a terminal in a tool call also after it has let it go.
    released: VecDeque<(String, Arc<Mutex<Output>>)>,
}

/// One command, running or ended, until the agent releases it.
struct Terminal {
    /// The turn that it was made in.
    turn: Option<TurnId>,
    process: Process,
    output: Arc<Mutex<Output>>,
    /// The exit, told once all that was written before it has been read.
    ended: watch::Receiver<Option<Exit>>,
    /// How much it had said when that was last shown while it ran, in bytes.
    shown: u64,
    _reader: AbortOnDropHandle<()>,
}

impl Terminals {
    /// None yet. They see what the agent sees of our environment, and belong to the agent's owner.
    pub(super) fn new(worktree: PathBuf, environment: Environment, owner: Option<String>, limits: Limits) -> Self {
        Self {
            worktree,
            environment,
            owner,
            limits,
            made: 0,
            open: BTreeMap::new(),
            leaving: Vec::new(),
            released: VecDeque::new(),
        }
    }

    /// Whether a command of this turn runs.
    pub(super) fn runs(&self, turn: Option<TurnId>) -> bool {
        self.open.values().any(|terminal| terminal.turn == turn && terminal.ended.borrow().is_none())
    }

    /// Whether there is one that the agent has not released.
    pub(super) fn is_any_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Answers one of the `terminal/…` requests, at once or when the command has ended.
    pub(super) fn handle(&mut self, request: AgentRequest, turn: Option<TurnId>) {
        if request.method == "terminal/create" {
            let result = self.create(&request.params, turn);
            return request.answer(result);
        }
        let id = request.params["terminalId"].as_str().unwrap_or_default();
        let Some(terminal) = self.open.get(id) else {
            let error = Error::invalid_params().data(format!("there is no terminal {id:?}"));
            return request.answer(Err(error));
        };
        match request.method.as_str() {
            "terminal/output" => {
                let result = terminal.output();
                request.answer(Ok(result));
            }
            "terminal/wait_for_exit" => answer_after_exit(request, terminal.ended.clone(), exit_status),
            "terminal/kill" => {
                terminal.process.stop();
                answer_after_exit(request, terminal.ended.clone(), |_| json!({}));
            }
            "terminal/release" => {
                let id = id.to_owned();
                self.release(|released, _| *released == id);
                request.answer(Ok(json!({})));
            }
            _ => request.answer(Err(Error::method_not_found())),
        }
    }

    /// Ends the commands of a turn. Their output stays readable.
    pub(super) fn stop(&self, turn: TurnId) {
        self.open.values().filter(|terminal| terminal.turn == Some(turn)).for_each(|terminal| terminal.process.stop());
    }

    /// Releases the commands of a turn that the agent will not ask for any more.
    pub(super) fn forget(&mut self, turn: TurnId) {
        self.release(|_, terminal| terminal.turn == Some(turn));
    }

    /// Ends all of them, and is done when nothing of them is left.
    pub(super) fn close(&mut self) -> impl Future<Output = ()> + Send + use<> {
        self.release(|_, _| true);
        let leaving = std::mem::take(&mut self.leaving);
        async move {
            for gone in leaving {
                wait_gone(gone).await;
            }
        }
    }

    fn release(&mut self, which: impl Fn(&String, &Terminal) -> bool) {
        self.leaving.retain(|gone| !*gone.borrow());
        for (id, terminal) in self.open.extract_if(.., |id, terminal| which(id, terminal)) {
            self.leaving.push(terminal.process.goes());
            self.released.push_back((id, terminal.output));
        }
        let over = self.released.len().saturating_sub(self.limits.terminals);
        self.released.drain(..over);
    }

    /// Puts the end of what each terminal of a tool call has said so far behind it, as text.
    pub(super) fn show(&self, call: &mut ToolCallSnapshot) {
        self.show_end(call, SHOWN_OUTPUT);
    }

    /// The same, shorter, of a call that its agent says nothing of meanwhile. Says whether there is anything new.
    pub(super) fn show_news(&mut self, call: &mut ToolCallSnapshot) -> bool {
        let mut is_new = false;
        for id in call.content.iter().filter_map(terminal_id) {
            if let Some(terminal) = self.open.get_mut(id) {
                let said = terminal.output.lock().unwrap_or_else(PoisonError::into_inner).said;
                is_new |= said > terminal.shown;
                terminal.shown = said;
            }
        }
        if is_new {
            self.show_end(call, LIVE_OUTPUT);
        }
        is_new
    }

    fn show_end(&self, call: &mut ToolCallSnapshot, limit: usize) {
        if !call.content.iter().any(|content| terminal_id(content).is_some()) {
            return;
        }
        for content in std::mem::take(&mut call.content) {
            let said = terminal_id(&content).and_then(|id| self.said(id, limit));
            call.content.push(content);
            call.content.extend(said.map(|text| ToolContent::Part(ContentPart::Text(text))));
        }
    }

    fn said(&self, id: &str, limit: usize) -> Option<String> {
        let released = || self.released.iter().rev().find(|(released, _)| released == id).map(|(_, output)| output);
        let output = self.open.get(id).map(|terminal| &terminal.output).or_else(released)?;
        let (text, truncated) = output.lock().unwrap_or_else(PoisonError::into_inner).text();
        let start = text.ceil_char_boundary(text.len().saturating_sub(limit));
        let note = if truncated || start > 0 { "[earlier output is left out]\n" } else { "" };
        (!text.is_empty()).then(|| format!("{note}{}", &text[start..]))
    }

    fn create(&mut self, params: &Value, turn: Option<TurnId>) -> Result<Value, Error> {
        if self.open.len() >= self.limits.terminals {
            let reason = format!("{} terminals are open already; release one first", self.open.len());
            return Err(Error::invalid_request().data(reason));
        }
        let command = params["command"].as_str().filter(|command| !command.trim().is_empty());
        let command = command.ok_or_else(|| Error::invalid_params().data("command is missing"))?;
        let args =
            params["args"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let cwd = self.confined(params["cwd"].as_str())?;
        let mut environment = self.environment.clone();
        for variable in params["env"].as_array().into_iter().flatten() {
            if let (Some(name), Some(value)) = (variable["name"].as_str(), variable["value"].as_str()) {
                environment.insert(OsString::from(name), OsString::from(value));
            }
        }
        let asked = params["outputByteLimit"].as_u64().and_then(|limit| usize::try_from(limit).ok());
        let limit = asked.unwrap_or(usize::MAX).min(self.limits.terminal_output);
        let terminal = self
            .start(command, args, &environment, &cwd, limit, turn)
            .map_err(|error| Error::invalid_params().data(format!("{command}: {error}")))?;
        self.made += 1;
        let id = format!("terminal-{}", self.made);
        self.open.insert(id.clone(), terminal);
        Ok(json!({ "terminalId": id }))
    }

    fn start(
        &self,
        command: &str,
        args: Vec<String>,
        environment: &Environment,
        cwd: &Path,
        limit: usize,
        turn: Option<TurnId>,
    ) -> io::Result<Terminal> {
        let path = environment.get(OsStr::new("PATH")).map(OsString::as_os_str);
        let (program, args) = match find_program(command, path, Some(cwd)) {
            Some(program) => (program, args),
            // Several agents put a whole line for a shell into `command`.
            None if args.is_empty() => (PathBuf::from("/bin/sh"), vec!["-c".to_owned(), command.to_owned()]),
            None => return Err(io::Error::new(io::ErrorKind::NotFound, "there is no such program")),
        };
        let (reader, writer) = io::pipe()?;
        let reader = pipe::Receiver::from_owned_fd(reader.into())?;
        let mut command = process::command(&program, &args, environment, cwd);
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let (process, _) = Process::spawn(command, self.owner.as_deref(), Rest::Lives, self.limits.kill)?;
        let output = Arc::new(Mutex::new(Output { kept: Vec::new(), said: 0, limit, truncated: false }));
        let (ended_tx, ended) = watch::channel(None);
        let reading = read(reader, Arc::clone(&output), process.exits(), ended_tx);
        Ok(Terminal { turn, process, output, ended, shown: 0, _reader: AbortOnDropHandle::new(tokio::spawn(reading)) })
    }

    /// The directory that a request means, if it is inside the worktree.
    fn confined(&self, cwd: Option<&str>) -> Result<PathBuf, Error> {
        let refused = |reason: String| Error::invalid_params().data(reason);
        let asked = self.worktree.join(cwd.unwrap_or_default());
        let resolve =
            |path: &Path| path.canonicalize().map_err(|error| refused(format!("{}: {error}", path.display())));
        let (root, asked) = (resolve(&self.worktree)?, resolve(&asked)?);
        if !asked.starts_with(&root) || !asked.is_dir() {
            return Err(refused(format!("{} is not a directory in the worktree", asked.display())));
        }
        Ok(asked)
    }
}

impl Terminal {
    fn output(&self) -> Value {
        let (text, truncated) = self.output.lock().unwrap_or_else(PoisonError::into_inner).text();
        let mut answer = json!({ "output": text, "truncated": truncated });
        if let Some(exit) = *self.ended.borrow() {
            answer["exitStatus"] = exit_status(exit);
        }
        answer
    }
}

fn terminal_id(content: &ToolContent) -> Option<&str> {
    match content {
        ToolContent::Terminal { id } => Some(id),
        ToolContent::Part(_) | ToolContent::Diff { .. } | ToolContent::Unknown(_) => None,
    }
}

fn exit_status(exit: Exit) -> Value {
    json!({ "exitCode": exit.code, "signal": exit.signal_name() })
}

/// Answers once the command has ended, unless the agent takes the request back first.
fn answer_after_exit(request: AgentRequest, mut ended: watch::Receiver<Option<Exit>>, answer: fn(Exit) -> Value) {
    tokio::spawn(async move {
        let result = tokio::select! {
            ended = ended.wait_for(Option::is_some) => match ended.ok().and_then(|exit| *exit) {
                Some(exit) => Ok(answer(exit)),
                None => Err(Error::internal_error().data("the terminal was released")),
            },
            () = request.taken_back() => Err(Error::request_cancelled()),
        };
        request.answer(result);
    });
}

/// What is kept of a command's output: the end of it.
struct Output {
    kept: Vec<u8>,
    /// How much there was in all, in bytes.
    said: u64,
    limit: usize,
    truncated: bool,
}

impl Output {
    fn push(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        self.said += bytes.len() as u64;
        // Cutting at twice the limit makes each byte move once on average.
        if self.kept.len() > self.limit.saturating_mul(2).max(READ_BUFFER) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let over = self.kept.len().saturating_sub(self.limit);
        if over > 0 {
            self.truncated = true;
            self.kept.drain(..over);
        }
    }

    /// The text, which begins at a whole character.
    fn text(&mut self) -> (String, bool) {
        self.cut();
        let is_continuation = |byte: &&u8| (**byte & 0xc0) == 0x80;
        let broken = if self.truncated { self.kept.iter().take(3).take_while(is_continuation).count() } else { 0 };
        (String::from_utf8_lossy(&self.kept[broken..]).into_owned(), self.truncated)
    }
}

/// Reads a command's output. Once the command has exited, everything that it wrote is read first and then its exit told;
/// what its children still write is read on.
async fn read(
    mut pipe: pipe::Receiver,
    output: Arc<Mutex<Output>>,
    mut exits: watch::Receiver<Option<Exit>>,
    ended: watch::Sender<Option<Exit>>,
) {
    let mut buffer = vec![0; READ_BUFFER];
    let push = |bytes: &[u8]| output.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    let mut exit = None;
    let mut open = true;
    while open && exit.is_none() {
        tokio::select! {
            read = tokio::io::AsyncReadExt::read(&mut pipe, &mut buffer) => match read {
                Ok(read @ 1..) => push(&buffer[..read]),
                Ok(0) | Err(_) => open = false,
            },
            exited = exits.wait_for(Option::is_some) => exit = Some(exited.ok().and_then(|exit| *exit)),
        }
    }
    while open {
        // The pipe itself is asked: the runtime may not have noticed yet that there is something in it.
        match rustix::io::read(&pipe, &mut buffer) {
            Ok(read @ 1..) => push(&buffer[..read]),
            Err(rustix::io::Errno::AGAIN) => break,
            Err(rustix::io::Errno::INTR) => {}
            Ok(0) | Err(_) => open = false,
        }
    }
    let exit = match exit {
        Some(exit) => exit,
        None => exits.wait_for(Option::is_some).await.ok().and_then(|exit| *exit),
    };
    ended.send_replace(exit.or(Some(Exit { code: None, signal: None })));
    while open {
        match tokio::io::AsyncReadExt::read(&mut pipe, &mut buffer).await {
            Ok(read @ 1..) => push(&buffer[..read]),
            Ok(0) | Err(_) => open = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(limit: usize, chunks: &[&str]) -> (String, bool) {
        let mut output = Output { kept: Vec::new(), said: 0, limit, truncated: false };
        chunks.iter().for_each(|chunk| output.push(chunk.as_bytes()));
        output.text()
    }

    #[test]
    fn the_end_of_the_output_is_kept_and_begins_at_a_character() {
        assert_eq!(output(5, &["abc", "de"]), ("abcde".into(), false));
        assert_eq!(output(5, &["abc", "def"]), ("bcdef".into(), true));
        assert_eq!(output(4, &["ää", "x"]), ("äx".into(), true));
        assert_eq!(output(0, &["abc"]), (String::new(), true));
        let much = "x".repeat(3 * READ_BUFFER);
        assert_eq!(output(10, &[&much, "end"]), ("xxxxxxxend".into(), true));
    }
}
