//! The questions that the server asks, and the answers in its form.

use boocoder_model::{
    Answer, InteractionId, PermissionKind, PermissionOption, Question, RawJson, ToolCallSnapshot, TurnId,
};
use indexmap::IndexMap;
use serde_json::{Value, json};

use super::mapper::Asking;
use crate::{BackendError, check_answer};

/// A question that is open.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) turn: Option<TurnId>,
    pub(super) kind: Asking,
    /// The server's id for it.
    pub(super) native: String,
    /// How many things it asks at once.
    count: usize,
    question: Question,
    /// An answer is on its way.
    pub(super) is_answering: bool,
}

/// All open questions, in the order in which they were asked.
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: IndexMap<InteractionId, Open>,
}

/// An answer as the server takes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) path: String,
    pub(super) body: Value,
}

impl Questions {
    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether the server's question is known already.
    pub(super) fn knows(&self, native: &str) -> bool {
        self.open.values().any(|open| open.native == native)
    }

    /// A question was asked.
    pub(super) fn ask(
        &mut self,
        id: InteractionId,
        turn: Option<TurnId>,
        kind: Asking,
        request: &Value,
        question: Question,
    ) {
        let native = request["id"].as_str().unwrap_or_default().to_owned();
        let count = request["questions"].as_array().map_or(1, Vec::len);
        self.open.insert(id, Open { turn, kind, native, count, question, is_answering: false });
    }

    /// The reply that carries an answer. Until it has arrived the question stays open.
    ///
    /// # Errors
    /// [`BackendError::UnknownInteraction`], [`BackendError::InvalidAnswer`].
    pub(super) fn answer(&mut self, id: InteractionId, answer: &Answer) -> Result<(Open, Reply), BackendError> {
        let open = self.open.get_mut(&id).filter(|open| !open.is_answering);
        let open = open.ok_or(BackendError::UnknownInteraction(id))?;
        check_answer(&open.question, answer)?;
        let reply = reply(open, answer)?;
        open.is_answering = true;
        Ok((open.clone(), reply))
    }

    /// An answer came to its end: the server has it, or it never will.
    pub(super) fn answered(&mut self, id: InteractionId) {
        self.open.shift_remove(&id);
    }

    /// An answer did not arrive, and may be given again.
    pub(super) fn unanswered(&mut self, id: InteractionId) {
        if let Some(open) = self.open.get_mut(&id) {
            open.is_answering = false;
        }
    }

    /// Somebody else answered. Gives the question back unless it was we ourselves.
    pub(super) fn taken_back(&mut self, native: &str) -> Option<InteractionId> {
        let id = self.open.iter().find(|(_, open)| open.native == native && !open.is_answering).map(|(id, _)| *id)?;
        self.open.shift_remove(&id);
        Some(id)
    }

    /// Takes back those that the server does not ask any more.
    pub(super) fn keep_only(&mut self, asked: &[Value]) -> Vec<InteractionId> {
        let is_asked = |open: &Open| asked.iter().any(|request| request["id"].as_str() == Some(&open.native));
        let gone: Vec<_> =
            self.open.iter().filter(|(_, open)| !open.is_answering && !is_asked(open)).map(|(id, _)| *id).collect();
        self.open.retain(|id, _| !gone.contains(id));
        gone
    }

    /// Takes back all of a turn, or all.
    pub(super) fn withdraw(&mut self, turn: Option<TurnId>) -> Vec<InteractionId> {
        let is_meant = |open: &Open| turn.is_none() || open.turn == turn;
        let gone: Vec<_> = self.open.iter().filter(|(_, open)| is_meant(open)).map(|(id, _)| *id).collect();
        self.open.retain(|id, _| !gone.contains(id));
        gone
    }
}

/// Reads a question.
pub(super) fn read(kind: Asking, request: &Value, call: Option<&ToolCallSnapshot>) -> Question {
    match kind {
        Asking::Permission => permission(request, call),
        Asking::Question => form(request),
    }
}

/// The reply that says no.
pub(super) fn refusal(kind: Asking, native: &str) -> Reply {
    match kind {
        Asking::Permission => Reply { path: format!("/permission/{native}/reply"), body: json!({ "reply": "reject" }) },
        Asking::Question => Reply { path: format!("/question/{native}/reject"), body: json!({}) },
    }
}

fn permission(request: &Value, call: Option<&ToolCallSnapshot>) -> Question {
    let list = |name: &str| -> Vec<&str> {
        request[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let what = request["permission"].as_str().unwrap_or("permission");
    let about = request["metadata"]["command"].as_str().map_or_else(|| list("patterns").join(", "), str::to_owned);
    let always = match &list("always")[..] {
        [] => "Always allow".to_owned(),
        always => format!("Always allow {}", always.join(", ")),
    };
    let option = |id: &str, name: &str, kind| PermissionOption { id: id.to_owned(), name: name.to_owned(), kind };
    Question::Permission {
        title: if about.is_empty() { what.to_owned() } else { format!("{what}: {about}") },
        tool_call: call.cloned(),
        options: vec![
            option("once", "Allow once", PermissionKind::AllowOnce),
            option("always", &always, PermissionKind::AllowAlways),
            option("reject", "Reject", PermissionKind::RejectOnce),
        ],
    }
}

/// Several questions at once are a form with a field each.
fn form(request: &Value) -> Question {
    let questions = request["questions"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |question: &Value, name: &str| question[name].as_str().unwrap_or_default().to_owned();
    let mut properties = serde_json::Map::new();
    for (index, question) in questions.iter().enumerate() {
        let labels: Vec<_> =
            question["options"].as_array().into_iter().flatten().map(|option| &option["label"]).collect();
        let is_open = question["custom"].as_bool() != Some(false);
        let one = if is_open {
            json!({ "type": "string", "examples": labels })
        } else {
            json!({ "type": "string", "enum": labels })
        };
        let mut field =
            if question["multiple"].as_bool() == Some(true) { json!({ "type": "array", "items": one }) } else { one };
        field["title"] = text(question, "header").into();
        field["description"] = text(question, "question").into();
        properties.insert(field_name(index), field);
    }
    let required: Vec<_> = properties.keys().cloned().collect();
    let title = questions.iter().map(|question| text(question, "question")).collect::<Vec<_>>().join("\n");
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    Question::Form { title, schema: RawJson::new(schema.to_string()) }
}

fn field_name(index: usize) -> String {
    format!("answer_{}", index + 1)
}

fn reply(open: &Open, answer: &Answer) -> Result<Reply, BackendError> {
    let native = &open.native;
    match (open.kind, answer) {
        (Asking::Permission, Answer::Select(option)) => {
            Ok(Reply { path: format!("/permission/{native}/reply"), body: json!({ "reply": option }) })
        }
        (Asking::Question, Answer::Accept(content)) => {
            let content = content.as_ref().and_then(|raw| serde_json::from_str::<Value>(raw.as_str()).ok());
            let content = content.ok_or_else(|| BackendError::InvalidAnswer("the form is empty".to_owned()))?;
            let fields = (0..open.count).map(|index| match &content[field_name(index)] {
                Value::String(text) => json!([text]),
                Value::Array(texts) => json!(texts),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => json!([]),
            });
            let answers: Vec<_> = fields.collect();
            Ok(Reply { path: format!("/question/{native}/reply"), body: json!({ "answers": answers }) })
        }
        (kind, Answer::Decline | Answer::Cancel) => Ok(refusal(kind, native)),
        (Asking::Permission, Answer::Accept(_)) | (Asking::Question, Answer::Select(_)) => {
            Err(BackendError::InvalidAnswer("it is of another kind than the question".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> InteractionId {
        InteractionId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn permission_request() -> Value {
        json!({ "id": "per_1", "permission": "bash", "patterns": ["ls"], "always": ["ls *"], "metadata": { "command": "ls -l" } })
    }

    fn asked(kind: Asking, request: &Value) -> Questions {
        let mut questions = Questions::default();
        questions.ask(id(1), None, kind, request, read(kind, request, None));
        questions
    }

    #[test]
    fn a_permission_has_three_answers_by_kind() {
        let Question::Permission { title, options, .. } = read(Asking::Permission, &permission_request(), None) else {
            panic!("a permission")
        };
        assert_eq!(title, "bash: ls -l");
        let kinds: Vec<_> = options.iter().map(|option| (option.id.as_str(), option.kind)).collect();
        let expected = [
            ("once", PermissionKind::AllowOnce),
            ("always", PermissionKind::AllowAlways),
            ("reject", PermissionKind::RejectOnce),
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn an_answer_goes_once_and_again_only_if_it_did_not_arrive() {
        let mut questions = asked(Asking::Permission, &permission_request());
        let (_, reply) = questions.answer(id(1), &Answer::Select("once".into())).expect("open");
        assert_eq!(reply, Reply { path: "/permission/per_1/reply".into(), body: json!({ "reply": "once" }) });
        assert!(questions.answer(id(1), &Answer::Cancel).is_err(), "one is on its way");
        assert_eq!(questions.taken_back("per_1"), None, "what the server says of it is about ours");
        questions.unanswered(id(1));
        questions.answer(id(1), &Answer::Cancel).expect("open again");
        questions.answered(id(1));
        assert!(matches!(questions.answer(id(1), &Answer::Cancel), Err(BackendError::UnknownInteraction(_))));
    }

    #[test]
    fn several_questions_are_one_form_and_one_reply() {
        let option = |label: &str| json!({ "label": label, "description": "" });
        let request = json!({ "id": "que_1", "questions": [
            { "question": "Which?", "header": "Which", "options": [option("a"), option("b")], "custom": false },
            { "question": "What?", "header": "What", "options": [option("c")], "multiple": true },
        ] });
        let mut questions = asked(Asking::Question, &request);
        let content = RawJson::new(r#"{ "answer_1": "b", "answer_2": ["c", "d"] }"#);
        let (_, reply) = questions.answer(id(1), &Answer::Accept(Some(content))).expect("open");
        let body = json!({ "answers": [["b"], ["c", "d"]] });
        assert_eq!(reply, Reply { path: "/question/que_1/reply".into(), body });
    }

    #[test]
    fn what_is_not_asked_any_more_is_taken_back() {
        let mut questions = asked(Asking::Permission, &permission_request());
        assert_eq!(questions.keep_only(&[permission_request()]), []);
        assert_eq!(questions.keep_only(&[]), [id(1)]);
        assert_eq!(questions.len(), 0);
    }
}
