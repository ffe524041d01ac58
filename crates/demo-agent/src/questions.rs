//! Questions to the human: a form with one field, or an address to visit.

use std::collections::BTreeMap;

use agent_client_protocol::v1::schema::{
    CompleteElicitationNotification, CreateElicitationRequest, ElicitationAction, ElicitationContentValue,
    ElicitationFormMode, ElicitationMode, ElicitationSchema, ElicitationSessionScope, ElicitationUrlMode,
};

use crate::{
    limits::HUMAN_REPLY,
    turn::{Stop, Turn},
};

impl Turn {
    pub(crate) async fn ask(&mut self, question: &str) -> Result<(), Stop> {
        if !self.agent.client().elicitation.is_some_and(|able| able.supports_form()) {
            return self.say("the client takes no questions").await;
        }
        let scope = ElicitationSessionScope::new(self.session.clone());
        let form = ElicitationFormMode::new(scope, ElicitationSchema::new().string("answer", true));
        let answer = match self.elicit(form, question).await? {
            Ok(content) => match content.get("answer") {
                Some(ElicitationContentValue::String(answer)) => format!("answer: {answer}"),
                Some(other) => format!("answer: {other:?}"),
                None => "accepted without an answer".to_owned(),
            },
            Err(reason) => reason,
        };
        self.say(&answer).await
    }

    pub(crate) async fn visit(&mut self, url: &str) -> Result<(), Stop> {
        if !self.agent.client().elicitation.is_some_and(|able| able.supports_url()) {
            return self.say("the client opens no addresses").await;
        }
        let id = self.next_id("link");
        let scope = ElicitationSessionScope::new(self.session.clone());
        let answer =
            match self.elicit(ElicitationUrlMode::new(scope, id.clone(), url), "Please visit this page").await? {
                Ok(_) => {
                    let done = CompleteElicitationNotification::new(id);
                    self.connection.send_notification(done)?;
                    "visited".to_owned()
                }
                Err(reason) => reason,
            };
        self.say(&answer).await
    }

    /// The content that a human gave, or how they gave none.
    async fn elicit(
        &self,
        mode: impl Into<ElicitationMode>,
        message: &str,
    ) -> Result<Result<BTreeMap<String, ElicitationContentValue>, String>, Stop> {
        let reply = self.request(CreateElicitationRequest::new(mode, message), HUMAN_REPLY).await?;
        Ok(reply.and_then(|reply| match reply.action {
            ElicitationAction::Accept(accept) => Ok(accept.content.unwrap_or_default()),
            ElicitationAction::Decline => Err("declined".to_owned()),
            ElicitationAction::Cancel => Err("cancelled".to_owned()),
            ElicitationAction::Other(other) => Err(format!("answered {:?}", other.action)),
            _ => Err("answered in an unknown way".to_owned()),
        }))
    }
}
