//! The tools of a turn: files and commands, all by way of the client and its permission.

use std::path::Path;

use agent_client_protocol::v1::schema::{
    Content, CreateTerminalRequest, Diff, KillTerminalRequest, PermissionOption, PermissionOptionKind,
    ReadTextFileRequest, ReleaseTerminalRequest, RequestPermissionOutcome, RequestPermissionRequest, SessionUpdate,
    Terminal, TerminalExitStatus, TerminalId, TerminalOutputRequest, ToolCall, ToolCallContent, ToolCallLocation,
    ToolCallStatus, ToolCallUpdate, ToolCallUpdateFields, ToolKind, WaitForTerminalExitRequest, WriteTextFileRequest,
};
use serde_json::{Value, json};

use crate::{
    limits::{CLIENT_REPLY, COMMAND_OUTPUT_BYTES, COMMAND_RUN, HUMAN_REPLY},
    turn::{Stop, Turn, within},
};

const ALLOW_ALWAYS: &str = "allow_always";
const ALLOW_ONCE: &str = "allow_once";
const REJECT_ONCE: &str = "reject_once";

/// Why a tool call does not complete.
enum Trouble {
    /// It failed, for this reason; the turn goes on.
    Tool(String),
    /// The turn itself is over.
    Turn(Stop),
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        Self::Turn(stop)
    }
}

impl From<String> for Trouble {
    fn from(reason: String) -> Self {
        Self::Tool(reason)
    }
}

/// What a completed tool call leaves behind.
struct Done {
    /// What the agent says about it.
    said: String,
    output: Value,
}

impl Turn {
    pub(crate) async fn write(&mut self, path: &str, text: String) -> Result<(), Stop> {
        let file = self.cwd.join(path);
        let call = ToolCall::new(self.next_id("call"), format!("Write {path}"))
            .kind(ToolKind::Edit)
            .locations(vec![ToolCallLocation::new(&file)])
            .raw_input(json!({ "path": file, "content": text }))
            .content(vec![ToolCallContent::Diff(Diff::new(&file, text.as_str()))]);
        self.update(SessionUpdate::ToolCall(call.clone())).await?;
        let written = self.put_file(&call, &file, text).await;
        let done = written.map(|bytes| Done { said: format!("wrote {path}"), output: json!({ "bytes": bytes }) });
        self.finish(&call, done).await
    }

    pub(crate) async fn edit(&mut self, path: &str, old: &str, new: &str) -> Result<(), Stop> {
        let file = self.cwd.join(path);
        let mut call = ToolCall::new(self.next_id("call"), format!("Edit {path}"))
            .kind(ToolKind::Edit)
            .locations(vec![ToolCallLocation::new(&file)])
            .raw_input(json!({ "path": file, "old": old, "new": new }));
        self.update(SessionUpdate::ToolCall(call.clone())).await?;
        let edited = self.replace_in_file(&mut call, &file, old, new).await;
        let done = edited.map(|bytes| Done { said: format!("edited {path}"), output: json!({ "bytes": bytes }) });
        self.finish(&call, done).await
    }

    async fn replace_in_file(&self, call: &mut ToolCall, file: &Path, old: &str, new: &str) -> Result<usize, Trouble> {
        if !self.agent.client().fs.read_text_file {
            return Err(Trouble::Tool("the client reads no files".to_owned()));
        }
        let read = ReadTextFileRequest::new(self.session.clone(), file);
        let before = self.request(read, CLIENT_REPLY).await??.content;
        if !before.contains(old) {
            return Err(Trouble::Tool(format!("{} does not contain {old:?}", file.display())));
        }
        let after = before.replacen(old, new, 1);
        call.content = vec![ToolCallContent::Diff(Diff::new(file, after.as_str()).old_text(before))];
        self.change(call, ToolCallUpdateFields::new().content(call.content.clone())).await?;
        self.put_file(call, file, after).await
    }

    /// Writes a file once that is allowed. Returns the number of bytes.
    async fn put_file(&self, call: &ToolCall, file: &Path, text: String) -> Result<usize, Trouble> {
        if !self.agent.client().fs.write_text_file {
            return Err(Trouble::Tool("the client writes no files".to_owned()));
        }
        self.ask_permission(call).await?;
        self.change(call, ToolCallUpdateFields::new().status(ToolCallStatus::InProgress)).await?;
        let bytes = text.len();
        let write = WriteTextFileRequest::new(self.session.clone(), file, text);
        self.request(write, CLIENT_REPLY).await??;
        Ok(bytes)
    }

    /// Asks for permission unless the mode or an earlier answer has given it for good. `allow_always` comes first, as
    /// with most agents: a client that blindly takes the first option is found out.
    async fn ask_permission(&self, call: &ToolCall) -> Result<(), Trouble> {
        {
            let open = self.open.lock();
            if open.session.settings.writes_without_asking() || open.edits_allowed {
                return Ok(());
            }
        }
        let shown = ToolCallUpdateFields::new()
            .title(call.title.clone())
            .kind(call.kind)
            .status(ToolCallStatus::Pending)
            .content(call.content.clone())
            .locations(call.locations.clone())
            .raw_input(call.raw_input.clone());
        let options = vec![
            PermissionOption::new(ALLOW_ALWAYS, "Allow all edits in this session", PermissionOptionKind::AllowAlways),
            PermissionOption::new(ALLOW_ONCE, "Allow this edit", PermissionOptionKind::AllowOnce),
            PermissionOption::new(REJECT_ONCE, "Reject this edit", PermissionOptionKind::RejectOnce),
        ];
        let shown = ToolCallUpdate::new(call.tool_call_id.clone(), shown);
        let request = RequestPermissionRequest::new(self.session.clone(), shown, options);
        match self.request(request, HUMAN_REPLY).await??.outcome {
            RequestPermissionOutcome::Selected(selected) => match &*selected.option_id.0 {
                ALLOW_ALWAYS => {
                    self.open.lock().edits_allowed = true;
                    Ok(())
                }
                ALLOW_ONCE => Ok(()),
                REJECT_ONCE => Err(Trouble::Tool("permission was rejected".to_owned())),
                other => Err(Trouble::Tool(format!("the client chose {other:?}, which was not offered"))),
            },
            // By the protocol this answer means that the turn is being cancelled.
            RequestPermissionOutcome::Cancelled => Err(Trouble::Turn(Stop::Cancelled)),
            _ => Err(Trouble::Tool("the client's answer to the permission is not known".to_owned())),
        }
    }

    pub(crate) async fn shell(&mut self, command: &str) -> Result<(), Stop> {
        let call = ToolCall::new(self.next_id("call"), command)
            .kind(ToolKind::Execute)
            .raw_input(json!({ "command": command, "cwd": self.cwd }));
        self.update(SessionUpdate::ToolCall(call.clone())).await?;
        let done = match self.create_terminal(command).await {
            Ok(terminal) => self.run_terminal(&call, terminal).await,
            Err(trouble) => Err(trouble),
        };
        self.finish(&call, done).await
    }

    async fn create_terminal(&self, command: &str) -> Result<TerminalId, Trouble> {
        if !self.agent.client().terminal {
            return Err(Trouble::Tool("the client runs no commands".to_owned()));
        }
        let request = CreateTerminalRequest::new(self.session.clone(), "/bin/sh")
            .args(vec!["-c".to_owned(), command.to_owned()])
            .cwd(self.cwd.clone())
            .output_byte_limit(COMMAND_OUTPUT_BYTES);
        let mut created = Box::pin(within(CLIENT_REPLY, self.connection.send_request(request).block_task()));
        match self.or_cancel(&mut created).await {
            Ok(created) => Ok(created?.terminal_id),
            Err(stop) => {
                // The client may be starting the command at this moment; it shall not outlive the turn.
                let (connection, session) = (self.connection.clone(), self.session.clone());
                let late = async move {
                    if let Ok(created) = created.await {
                        connection.send_request(ReleaseTerminalRequest::new(session, created.terminal_id)).detach();
                    }
                    Ok(())
                };
                self.connection.spawn(late).map_err(Stop::from)?;
                Err(Trouble::Turn(stop))
            }
        }
    }

    /// Waits for a command and gives its terminal back; one that has not ended by itself is ended first.
    async fn run_terminal(&self, call: &ToolCall, terminal: TerminalId) -> Result<Done, Trouble> {
        let done = match self.wait_for_exit(call, &terminal).await {
            Ok(exit) => self.read_output(&terminal, &exit).await,
            Err(trouble) => {
                let kill = KillTerminalRequest::new(self.session.clone(), terminal.clone());
                self.connection.send_request(kill).detach();
                Err(trouble)
            }
        };
        self.connection.send_request(ReleaseTerminalRequest::new(self.session.clone(), terminal)).detach();
        done
    }

    async fn wait_for_exit(&self, call: &ToolCall, terminal: &TerminalId) -> Result<TerminalExitStatus, Trouble> {
        let shown = vec![ToolCallContent::Terminal(Terminal::new(terminal.clone()))];
        self.change(call, ToolCallUpdateFields::new().status(ToolCallStatus::InProgress).content(shown)).await?;
        let wait = WaitForTerminalExitRequest::new(self.session.clone(), terminal.clone());
        Ok(self.request(wait, COMMAND_RUN).await??.exit_status)
    }

    async fn read_output(&self, terminal: &TerminalId, exit: &TerminalExitStatus) -> Result<Done, Trouble> {
        let output = TerminalOutputRequest::new(self.session.clone(), terminal.clone());
        let output = self.request(output, CLIENT_REPLY).await??;
        let ending = describe_exit(exit);
        let text = output.output.trim_end();
        if exit.exit_code != Some(0) {
            let gap = if text.is_empty() { "" } else { "\n" };
            return Err(Trouble::Tool(format!("{text}{gap}{ending}")));
        }
        let said = if text.is_empty() { ending } else { text.to_owned() };
        let output = json!({ "exit_code": exit.exit_code, "output": output.output, "truncated": output.truncated });
        Ok(Done { said, output })
    }

    async fn change(&self, call: &ToolCall, fields: ToolCallUpdateFields) -> Result<(), Stop> {
        self.update(SessionUpdate::ToolCallUpdate(ToolCallUpdate::new(call.tool_call_id.clone(), fields))).await
    }

    /// Settles a tool call. One that is cut short by the end of the turn stays as it is: the client settles it.
    async fn finish(&mut self, call: &ToolCall, done: Result<Done, Trouble>) -> Result<(), Stop> {
        let (fields, said) = match done {
            Ok(done) => {
                (ToolCallUpdateFields::new().status(ToolCallStatus::Completed).raw_output(done.output), done.said)
            }
            Err(Trouble::Tool(reason)) => {
                let fields = ToolCallUpdateFields::new()
                    .status(ToolCallStatus::Failed)
                    .content(vec![ToolCallContent::Content(Content::new(reason.as_str()))])
                    .raw_output(json!({ "error": reason }));
                (fields, format!("{}: {reason}", call.title))
            }
            Err(Trouble::Turn(stop)) => return Err(stop),
        };
        self.change(call, fields).await?;
        self.say(&said).await
    }
}

fn describe_exit(exit: &TerminalExitStatus) -> String {
    match (exit.exit_code, &exit.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by {signal}"),
        (None, None) => "ended without an exit code".to_owned(),
    }
}
