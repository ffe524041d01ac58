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
            let SessionEvent::Agent { event, .. } = &delivery.event else { continue };
            if let AgentEvent::ConfigOptions(options) = event {
                self.opened(agent, options);
            } else if let AgentEvent::Commands(commands) = event {
                self.change(agent, |offered| offered.commands = Some(commands.clone()));
            }
        }
    }

    fn change(&self, agent: &AgentName, change: impl FnOnce(&mut Offered)) {
        let mut offers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(offers.entry(agent.clone()).or_default());
    }
}
