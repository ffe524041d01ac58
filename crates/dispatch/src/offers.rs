//! What each agent offers to choose from, as its sessions told last. It is learned anew after a restart: an agent says it again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use boocoder_backend::{Delivery, SessionEvent};
use boocoder_model::{AgentCommand, AgentEvent, AgentName, ConfigOption};

/// What an agent offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// Modes, models and the rest that can be set; empty while it is not known.
    pub options: Vec<ConfigOption>,
    /// Its slash commands, if it told any.
    pub commands: Option<Vec<AgentCommand>>,
}

/// The offers of all agents.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offers(Arc<Mutex<BTreeMap<AgentName, Offered>>>);

impl Offers {
    pub(crate) fn of(&self, agent: &AgentName) -> Offered {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(agent).cloned().unwrap_or_default()
    }

    /// A session of the agent was opened.
    pub(crate) fn opened(&self, agent: &AgentName, options: &[ConfigOption]) {
        if !options.is_empty() {
            self.change(agent, |offered| offered.options = options.to_vec());
        }
    }

    /// A session of the agent said something.
    pub(crate) fn note(&self, agent: &AgentName, said: &[Delivery]) {
        for delivery in said {
            if let SessionEvent::Agent { event, .. } = &delivery.event {
                match event {
                    AgentEvent::ConfigOptions(options) => self.opened(agent, options),
                    AgentEvent::Commands(commands) => {
                        self.change(agent, |offered| offered.commands = Some(commands.clone()));
                    }
                    AgentEvent::Text(_)
                    | AgentEvent::Reasoning(_)
                    | AgentEvent::Content(_)
                    | AgentEvent::UserContent(_)
                    | AgentEvent::ToolCall(_)
                    | AgentEvent::ToolUpdate(_)
                    | AgentEvent::Plan(_)
                    | AgentEvent::Mode(_)
                    | AgentEvent::Title(_)
                    | AgentEvent::Usage(_)
                    | AgentEvent::Notice(_)
                    | AgentEvent::Compaction { .. }
                    | AgentEvent::Unmapped { .. } => {}
                }
            }
        }
    }

    fn change(&self, agent: &AgentName, change: impl FnOnce(&mut Offered)) {
        let mut offers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(offers.entry(agent.clone()).or_default());
    }
}
