//! A whole proxy: watchers and all outputs of one settings, as one thing that is started, looked at and stopped. Decides
//! what runs, and nothing of what it does.
//!
//! ```text
//! Settings ─► watchers ─► picture ─┬─► haproxy
//!                                  ├─► nginx
//!                                  └─► files
//! ```
//! New settings are a new proxy, started when the old one has stopped: outputs find what is there and change what differs.
//! Not here: reading settings again, nerve (which changes its settings without a gap), who shows a status.

use std::{collections::BTreeMap, future::pending, sync::Arc};

use lobby_render::{Source, command::Surroundings};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use crate::{
    Picture, Settings,
    fetch::Fetch,
    file_output, haproxy,
    haproxy::reload::Pace,
    nginx,
    settings::Service,
    shared::Shared,
    watcher::{self, Watching},
};

/// Everything that runs for one settings. Dropped, it is cut off; what it keeps in step goes on as it is.
#[derive(Debug)]
pub struct Proxy {
    observer: Observer,
    watching: Watching,
    outputs: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// Looks at a proxy, also when it has stopped. Clones look at the same one.
#[derive(Debug, Clone)]
pub struct Observer(Arc<Observed>);

#[derive(Debug)]
struct Observed {
    /// Of the services, in the order of the picture: what settings say.
    services: Vec<ServiceStatus>,
    picture: watch::Receiver<Picture>,
    haproxy: Option<Arc<haproxy::stats::Stats>>,
    nginx: Option<Arc<nginx::Stats>>,
    files: Option<Arc<file_output::Stats>>,
    /// Of an earlier proxy's outputs, as they were.
    before: Status,
    /// Of its reloads of HAProxy, and those of this one.
    pace: Pace,
}

/// A proxy at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// In the order of the settings.
    pub services: Vec<ServiceStatus>,
    /// None: there is no HAProxy.
    pub haproxy: Option<haproxy::stats::Status>,
    /// None: there is no nginx.
    pub nginx: Option<nginx::Status>,
    /// None: no files are written.
    pub files: Option<file_output::Status>,
}

/// One service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceStatus {
    /// As in the settings.
    pub name: String,
    /// How many backends it has. None: its source has not answered yet.
    pub backends: Option<u64>,
    /// Those of them that are kept although contact with their node is lost.
    pub held: u64,
    /// Why its source does not answer, if it does not.
    pub trouble: Option<String>,
    /// The port of its backends instead of their own, if it is set.
    pub port_override: Option<u16>,
    /// The port of their second version, if it is set: with the other one the pair that a deploy swaps.
    pub backup_port: Option<u16>,
}

impl Proxy {
    /// Starts everything. `source` is the agent that services of the catalog are asked from; `environment` is where sources
    /// look up credentials and the like; `around` is for commands. `before`: the proxy that this one follows; what it counted
    /// goes on, and reloads stay as far apart.
    pub fn start<F: Fetch, S: Source>(
        settings: Arc<Settings>,
        fetch: F,
        source: S,
        environment: &BTreeMap<String, String>,
        around: Surroundings,
        before: Option<&Observer>,
    ) -> Self {
        let pace = before.map(|before| before.0.pace.clone()).unwrap_or_default();
        let before = before.map(Observer::counted).unwrap_or_default();
        let (picture, watching) = watcher::start(&settings, fetch, source, environment);
        let (stop, stopped) = watch::channel(false);
        let mut outputs = JoinSet::new();
        let given = || (settings.clone(), picture.clone(), around.clone(), is_true(stopped.clone()));
        let haproxy = settings.haproxy.as_ref().map(|_| {
            let (stats, (settings, picture, around, stop)) = (Arc::new(Shared::after(before.haproxy.as_ref())), given());
            outputs.spawn(haproxy::output::run_after(settings, picture, around, Arc::clone(&stats), pace.clone(), stop));
            stats
        });
        let nginx = settings.nginx.as_ref().map(|_| {
            let (stats, (settings, picture, around, stop)) = (Arc::new(Shared::after(before.nginx.as_ref())), given());
            outputs.spawn(nginx::run(settings, picture, around, Arc::clone(&stats), stop));
            stats
        });
        let files = settings.file_output.as_ref().map(|_| {
            let (stats, (settings, picture, around, stop)) = (Arc::new(Shared::after(before.files.as_ref())), given());
            outputs.spawn(file_output::run(settings, picture, around, Arc::clone(&stats), stop));
            stats
        });
        let service = |service: &Service| ServiceStatus {
            name: service.name.clone(),
            port_override: service.backend_port_override,
            backup_port: service.backup_port,
            ..ServiceStatus::default()
        };
        let services = settings.services.iter().map(service).collect();
        let observer = Observer(Arc::new(Observed { services, picture, haproxy, nginx, files, before, pace }));
        Self { observer, watching, outputs, stop }
    }

    /// How it is now.
    pub fn status(&self) -> Status {
        self.observer.status()
    }

    /// Looks at it from elsewhere.
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// Comes back when a part of it has ended, which none does by itself; says how, for people. It is to be stopped then.
    /// Dropping the future loses nothing.
    pub async fn ended(&mut self) -> String {
        let output = async {
            match self.outputs.join_next().await {
                Some(ended) => told(ended),
                None => pending().await,
            }
        };
        tokio::select! {
            why = self.watching.ended() => why,
            why = output => why,
        }
    }

    /// Returns when no file is written and no command is run any more. HAProxy and nginx go on. Dropping the future cuts off
    /// what is at work.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.outputs.join_next().await {
            if ended.is_err() {
                tracing::error!("{}", told(ended));
            }
        }
    }
}

impl Observer {
    /// How it is now, or was when it stopped.
    pub fn status(&self) -> Status {
        let Observed { services, picture, haproxy, nginx, files, before: _, pace: _ } = &*self.0;
        let service = |(service, known): (&ServiceStatus, &crate::backend::Known)| ServiceStatus {
            backends: known.backends.as_ref().map(|backends| backends.len() as u64),
            held: known.n_held as u64,
            trouble: known.trouble.clone(),
            ..service.clone()
        };
        let picture = picture.borrow().clone();
        Status {
            services: services.iter().zip(picture.iter()).map(service).collect(),
            haproxy: haproxy.as_ref().map(|stats| stats.status()),
            nginx: nginx.as_ref().map(|stats| stats.status()),
            files: files.as_ref().map(|stats| stats.status()),
        }
    }

    /// With outputs that this one does not have, but an earlier one had: they may come again.
    pub fn counted(&self) -> Status {
        let (now, before) = (self.status(), self.0.before.clone());
        let Status { services, haproxy, nginx, files } = now;
        Status { services, haproxy: haproxy.or(before.haproxy), nginx: nginx.or(before.nginx), files: files.or(before.files) }
    }
}

/// Waits for a stop; whoever could tell may be gone instead.
async fn is_true(mut stopped: watch::Receiver<bool>) {
    drop(stopped.wait_for(|stopped| *stopped).await);
}

fn told(ended: Result<(), JoinError>) -> String {
    match ended {
        Ok(()) => "an output has ended".into(),
        Err(err) => format!("an output has ended: {err}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{haproxy::stats::BackendStatus, shared::Output};

    #[test]
    fn what_was_counted_goes_on_also_of_an_output_that_is_away_meanwhile() {
        let (_, picture) = watch::channel(Picture::from(Vec::new()));
        let observed = |haproxy: Option<haproxy::stats::Status>, before| {
            let haproxy = haproxy.map(|status| Arc::new(Shared::after(Some(&status))));
            let (nginx, files) = (None, Some(Arc::default()));
            let (services, picture) = (Vec::new(), picture.clone());
            Observer(Arc::new(Observed { services, picture, haproxy, nginx, files, before, pace: Pace::default() }))
        };
        let status = haproxy::stats::Status {
            writes: 3,
            reloads: 2,
            reload_reasons: [("structure".into(), 2)].into(),
            commands: [("add server".into(), 7)].into(),
            is_in_step: true,
            managed_pid: Some(9),
            last_error: Some("x".into()),
            backends: [("web".into(), BackendStatus::default())].into(),
            ..haproxy::stats::Status::default()
        };
        let first = observed(Some(status.clone()), Status::default());
        let away = observed(None, first.counted());
        assert_eq!(away.status().haproxy, None);
        let again = away.counted().haproxy.unwrap();
        let want = haproxy::stats::Status {
            is_in_step: false,
            managed_pid: None,
            last_error: None,
            backends: BTreeMap::new(),
            ..status.clone()
        };
        assert_eq!((&again, again.counted()), (&want, want.clone()), "what is so now is not what was counted");
    }
}
