//! What those who ask tell, and what is kept of it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use lobby_render::answer::HealthService;

use super::heard::Heard;
use crate::{Backend, Found};

/// Labels by the id of their node, without dashes.
pub(super) type Labels = HashMap<String, BTreeMap<String, String>>;

/// News about one question.
#[derive(Debug, Clone)]
pub(super) enum Told {
    /// Backends as they are.
    Found(Found),
    /// Backends, of which some are from before: somebody who was asked for them did not answer.
    Partly(Vec<Backend>, String),
    /// Backends, all from before: nobody who was asked answered. A failure.
    Stale(Vec<Backend>, String),
    /// Of a catalog.
    Instances(Arc<[Arc<HealthService>]>),
    /// Of a catalog's nodes.
    Labels(Arc<Labels>),
}

impl Told {
    pub(super) fn backends(backends: Vec<Backend>) -> Self {
        Self::Found(Found::Backends { backends, lost: Vec::new() })
    }

    pub(super) fn trouble(text: impl Into<String>) -> Self {
        Self::Found(Found::Trouble(text.into()))
    }
}

/// All news about one question.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Of a catalog's questions only the trouble.
    pub(super) heard: Heard,
    pub(super) instances: Option<Arc<[Arc<HealthService>]>>,
    pub(super) labels: Option<Arc<Labels>>,
}

impl State {
    pub(super) fn hear(&mut self, told: Told) {
        match told {
            Told::Found(found) => self.heard.hear(found),
            Told::Partly(backends, trouble) => {
                self.heard.hear(Found::Backends { backends, lost: Vec::new() });
                self.heard.trouble = Some(trouble);
            }
            Told::Stale(backends, trouble) => {
                let failures = self.heard.failures;
                self.heard.hear(Found::Backends { backends, lost: Vec::new() });
                self.heard.failures = failures;
                self.heard.fail(trouble);
            }
            Told::Instances(instances) => (self.instances, self.heard) = (Some(instances), Heard::default()),
            Told::Labels(labels) => (self.labels, self.heard) = (Some(labels), Heard::default()),
        }
    }
}
