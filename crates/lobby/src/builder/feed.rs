//! What feeds the node task from inside this process: labels, registrations, the host name, the names of our keys.
//!
//! Not here: exchanges (`way`), what acts on the catalog (`start`).

use std::{path::PathBuf, sync::Arc};

use lobby_core::{
    name::Name,
    port::{
        COMMANDS, CatalogReader, Commands,
        external::{ExternalHandle, WRITES},
        gossip::Fingerprint,
        registry::RegistryHandle,
    },
    proof::Signer,
};
use tokio::sync::{mpsc, watch};

use crate::{
    agent::Stops,
    external::{self, Externals},
    node::Update,
    registry::{self, Counters, Definitions},
    source::{self, hostname, labels::Labels},
    tasks::Tasks,
};

/// All sources of one agent, read once and not yet followed.
pub(super) struct Feed {
    pub(super) labels: Labels,
    pub(super) registry: registry::Start,
    pub(super) externals: external::Disk,
    /// Who we are, and what proves that.
    pub(super) signer: Arc<Signer>,
    /// The folder of definitions, if there is to be one.
    pub(super) services: Option<PathBuf>,
    /// The name, if it is the machine's, so that it is followed.
    pub(super) hostname: Option<Name>,
}

/// How the agent talks to its sources.
pub(super) struct Fed {
    pub(super) commands: Commands,
    pub(super) registry: RegistryHandle,
    pub(super) counters: Arc<Counters>,
    pub(super) externals: ExternalHandle,
    /// Keeps the queue of what files define open.
    pub(super) inputs: mpsc::Sender<Definitions>,
}

impl Feed {
    /// Follows all of them, and the names of our keys, if gossip has any.
    pub(super) fn spawn(
        self,
        keys: Option<watch::Receiver<Vec<Fingerprint>>>,
        tasks: &mut Tasks,
        updates: mpsc::Sender<Update>,
        reader: &CatalogReader,
        stops: &Stops,
    ) -> Fed {
        let stop = || stops.sources.clone();
        let (registry, handle, inputs, counters) = self.registry.finish(updates.clone(), reader.clone());
        tasks.spawn_sure("registry", registry.run(stop()));
        if let Some(folder) = self.services {
            tasks.spawn_sure("services", registry::files::follow(folder, inputs.clone(), stop()));
        }
        let (batches_in, batches) = mpsc::channel(WRITES);
        let externals = Externals::new(self.signer, self.externals, reader.clone(), updates.clone(), batches);
        tasks.spawn_sure("nodes without an agent", externals.run(stop()));
        let (commands_in, commands) = mpsc::channel(COMMANDS);
        tasks.spawn_sure("labels", self.labels.run(commands, updates.clone(), stops.leave.clone(), stop()));
        if let Some(name) = self.hostname {
            tasks.spawn_sure("host name", hostname::follow(name, updates.clone(), stop()));
        }
        if let Some(keys) = keys {
            tasks.spawn_sure("keys", source::keys::follow(keys, updates, stop()));
        }
        Fed {
            commands: Commands::new(commands_in),
            registry: handle,
            counters,
            externals: ExternalHandle::new(batches_in),
            inputs,
        }
    }
}
