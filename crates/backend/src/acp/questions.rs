//! Questions that wait for a human: permissions and elicitations, read leniently, answered by id.

use agent_client_protocol::{Error, RawJsonRpcId};
use boocoder_acp_mapper::SessionUpdateMapper;
use boocoder_model::{
    Answer, InteractionId, InteractionOutcome, PermissionKind, PermissionOption, Question, RawJson, TurnId,
};
use indexmap::IndexMap;
use serde_json::{Value, json};

use super::connection::AgentRequest;
use crate::BackendError;

/// One open question.
#[derive(Debug)]
pub(super) struct Open {
    /// The turn that it was asked in.
    pub(super) turn: Option<TurnId>,
    /// The agent's name for an elicitation that is completed elsewhere.
    elicitation: Option<String>,
    question: Question,
    request: AgentRequest,
}

/// The open questions of one session, oldest first.
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: IndexMap<InteractionId, Open>,
}

/// Reads a `session/request_permission`. The call in question is merged with what is known of it.
pub(super) fn read_permission(params: &Value, mapper: &mut SessionUpdateMapper) -> Result<Question, Error> {
    let tool_call = serde_json::value::to_raw_value(&params["toolCall"]).ok();
    let tool_call = tool_call.and_then(|raw| mapper.tool_call_from_json(&raw));
    let option = |option: &Value| {
        let id = option["optionId"].as_str()?;
        let kind = option["kind"].as_str().and_then(|kind| kind.parse().ok()).unwrap_or(PermissionKind::Other);
        Some(PermissionOption { id: id.to_owned(), name: option["name"].as_str().unwrap_or(id).to_owned(), kind })
    };
    let options: Vec<_> = params["options"].as_array().into_iter().flatten().filter_map(option).collect();
    if options.is_empty() {
        return Err(Error::invalid_params().data("a permission request needs at least one option with an optionId"));
    }
    let title = tool_call.as_ref().map(|call| call.title.clone()).filter(|title| !title.is_empty());
    Ok(Question::Permission { title: title.unwrap_or_else(|| "Permission".to_owned()), tool_call, options })
}

/// Reads an `elicitation/create`.
pub(super) fn read_elicitation(params: &Value) -> Result<Question, Error> {
    let title = params["message"].as_str().unwrap_or("Question").to_owned();
    match params["mode"].as_str() {
        Some("form") | None if params["requestedSchema"].is_object() => {
            Ok(Question::Form { title, schema: RawJson::new(params["requestedSchema"].to_string()) })
        }
        Some("url") if params["url"].is_string() => {
            Ok(Question::Url { title, url: params["url"].as_str().unwrap_or_default().to_owned() })
        }
        _ => Err(Error::invalid_params().data("an elicitation is a form with a requestedSchema or a url")),
    }
}

impl Questions {
    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Adds one.
    pub(super) fn ask(&mut self, id: InteractionId, turn: Option<TurnId>, question: Question, request: AgentRequest) {
        let elicitation = request.params["elicitationId"].as_str().map(str::to_owned);
        self.open.insert(id, Open { turn, elicitation, question, request });
    }

    /// Answers one.
    ///
    /// # Errors
    /// [`BackendError::UnknownInteraction`] and [`BackendError::InvalidAnswer`]; the question stays open after the
    /// latter.
    pub(super) fn answer(&mut self, id: InteractionId, answer: &Answer) -> Result<(), BackendError> {
        let open = self.open.get(&id).ok_or(BackendError::UnknownInteraction(id))?;
        let response = response(&open.question, answer)?;
        if let Some(open) = self.open.shift_remove(&id) {
            open.request.answer(Ok(response));
        }
        Ok(())
    }

    /// Takes one out, answered as cancelled.
    pub(super) fn cancel(&mut self, id: InteractionId) {
        if let Some(open) = self.open.shift_remove(&id) {
            let response = cancelled(&open.question);
            open.request.answer(Ok(response));
        }
    }

    /// Takes out those of a turn, or all, each answered as cancelled.
    pub(super) fn withdraw(&mut self, turn: Option<TurnId>) -> Vec<InteractionId> {
        let ids: Vec<_> =
            self.open.iter().filter(|(_, open)| turn.is_none() || open.turn == turn).map(|(id, _)| *id).collect();
        ids.iter().for_each(|id| self.cancel(*id));
        ids
    }

    /// The agent took the request back.
    pub(super) fn taken_back(&mut self, request: &RawJsonRpcId) -> Option<InteractionId> {
        let (id, _) = self.open.iter().find(|(_, open)| open.request.id() == request)?;
        let id = *id;
        let open = self.open.shift_remove(&id)?;
        open.request.answer(Err(Error::request_cancelled()));
        Some(id)
    }

    /// An elicitation was completed elsewhere.
    pub(super) fn completed(&mut self, elicitation: &str) -> Option<(InteractionId, InteractionOutcome)> {
        let (id, _) = self.open.iter().find(|(_, open)| open.elicitation.as_deref() == Some(elicitation))?;
        let id = *id;
        let open = self.open.shift_remove(&id)?;
        open.request.answer(Ok(json!({ "action": "accept" })));
        Some((id, InteractionOutcome::Accepted(None)))
    }
}

/// Whether an answer fits its question, so that it would be taken.
///
/// # Errors
/// [`BackendError::InvalidAnswer`], saying what would fit.
pub fn check_answer(question: &Question, answer: &Answer) -> Result<(), BackendError> {
    response(question, answer).map(drop)
}

/// The answer in the protocol's form.
fn response(question: &Question, answer: &Answer) -> Result<Value, BackendError> {
    let invalid = |message: String| Err(BackendError::InvalidAnswer(message));
    match (question, answer) {
        (_, Answer::Cancel) => Ok(cancelled(question)),
        (Question::Permission { options, .. }, Answer::Select(wanted)) => {
            if options.iter().any(|option| option.id == *wanted) {
                Ok(json!({ "outcome": { "outcome": "selected", "optionId": wanted } }))
            } else {
                let ids: Vec<_> = options.iter().map(|option| option.id.as_str()).collect();
                invalid(format!("{wanted:?} is none of its options: {}", ids.join(", ")))
            }
        }
        (Question::Permission { .. }, Answer::Accept(_) | Answer::Decline) => {
            invalid("a permission is answered by one of its options, or cancelled".to_owned())
        }
        (Question::Form { .. } | Question::Url { .. }, Answer::Select(_)) => {
            invalid("an elicitation is accepted, declined or cancelled".to_owned())
        }
        (Question::Form { .. } | Question::Url { .. }, Answer::Decline) => Ok(json!({ "action": "decline" })),
        (Question::Form { schema, .. }, Answer::Accept(content)) => {
            let content = form_content(schema, content.as_ref()).map_err(BackendError::InvalidAnswer)?;
            Ok(json!({ "action": "accept", "content": content }))
        }
        (Question::Url { .. }, Answer::Accept(_)) => Ok(json!({ "action": "accept" })),
    }
}

/// The content of a form: an object with what the schema requires.
fn form_content(schema: &RawJson, content: Option<&RawJson>) -> Result<Value, String> {
    let content = content.map_or("{}", RawJson::as_str);
    let content: Value = serde_json::from_str(content).map_err(|error| format!("its content is no JSON: {error}"))?;
    let fields = content.as_object().ok_or("its content is no JSON object")?;
    let schema: Value = serde_json::from_str(schema.as_str()).unwrap_or_default();
    let mut required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = required.find(|name| !fields.contains_key(*name)) {
        return Err(format!("its content lacks {missing:?}"));
    }
    match fields.iter().find(|(name, value)| !has_type(value, schema["properties"][name.as_str()]["type"].as_str())) {
        Some((name, _)) => Err(format!("{name:?} has to be of type {}", schema["properties"][name.as_str()]["type"])),
        None => Ok(content),
    }
}

/// Whether a value is of the type that a form's schema names; forms are flat, so that is all there is to check.
fn has_type(value: &Value, wanted: Option<&str>) -> bool {
    match wanted {
        Some("string") => value.is_string(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some(_) | None => true,
    }
}

fn cancelled(question: &Question) -> Value {
    match question {
        Question::Permission { .. } => json!({ "outcome": { "outcome": "cancelled" } }),
        Question::Form { .. } | Question::Url { .. } => json!({ "action": "cancel" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(params: &Value) -> Question {
        read_permission(params, &mut SessionUpdateMapper::new()).expect("readable")
    }

    #[test]
    fn unknown_kinds_and_missing_fields_do_not_keep_a_human_from_being_asked() {
        let question = permission(&json!({ "options": [
            { "optionId": "a", "kind": "allow_for_a_day" }, { "optionId": "b", "name": "No", "kind": "reject_once" }, {}, 3,
        ]}));
        let Question::Permission { title, tool_call, options } = question else { panic!("a permission") };
        assert_eq!((title.as_str(), tool_call), ("Permission", None));
        let seen: Vec<_> =
            options.iter().map(|option| (option.id.as_str(), option.name.as_str(), option.kind)).collect();
        assert_eq!(seen, [("a", "a", PermissionKind::Other), ("b", "No", PermissionKind::RejectOnce)]);
    }

    #[test]
    fn a_permission_that_nobody_could_grant_is_an_error() {
        let mut mapper = SessionUpdateMapper::new();
        read_permission(&json!({ "toolCall": { "toolCallId": "1" }, "options": [] }), &mut mapper)
            .expect_err("no options");
        read_permission(&Value::Null, &mut mapper).expect_err("nothing");
    }

    #[test]
    fn the_call_in_question_is_merged_with_what_is_known_of_it() {
        let question = permission(&json!({
            "toolCall": { "toolCallId": "1", "title": "write a.txt" },
            "options": [{ "optionId": "a", "kind": "allow_once" }],
        }));
        assert_eq!(question.title(), "write a.txt");
    }

    #[test]
    fn an_answer_fits_its_question_or_is_refused() {
        let asked = permission(&json!({ "options": [{ "optionId": "a", "kind": "allow_once" }] }));
        let selected = response(&asked, &Answer::Select("a".into())).expect("fits");
        assert_eq!(selected, json!({ "outcome": { "outcome": "selected", "optionId": "a" } }));
        for wrong in [Answer::Select("b".into()), Answer::Accept(None), Answer::Decline] {
            response(&asked, &wrong).expect_err("does not fit");
        }
        let form = read_elicitation(&json!({ "mode": "form", "message": "Name?", "requestedSchema": {
            "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] } }))
        .expect("a form");
        let content = |text: &str| Answer::Accept(Some(RawJson::new(text)));
        let accepted = response(&form, &content(r#"{"name":"Ada"}"#)).expect("fits");
        assert_eq!(accepted, json!({ "action": "accept", "content": { "name": "Ada" } }));
        for wrong in
            [content("{}"), content("[]"), content("nonsense"), content(r#"{"name":{"a":1}}"#), Answer::Accept(None)]
        {
            response(&form, &wrong).expect_err("does not fit");
        }
        assert_eq!(response(&form, &Answer::Cancel).expect("always fits"), json!({ "action": "cancel" }));
    }

    #[test]
    fn an_elicitation_of_an_unknown_mode_is_an_error() {
        read_elicitation(&json!({ "mode": "telepathy", "message": "?" })).expect_err("unknown");
        read_elicitation(&json!({ "mode": "url", "message": "?" })).expect_err("no address");
        let url =
            read_elicitation(&json!({ "mode": "url", "message": "Log in", "url": "https://a.b" })).expect("a url");
        assert!(matches!(url, Question::Url { url, .. } if url == "https://a.b"));
    }
}
