//! Which version of HAProxy it is. Decides who is asked for it, and how often a program that does not tell is asked again.
//!
//! Not here: how its answer is read (`version`, `preview`).

use std::{path::PathBuf, time::Duration, time::SystemTime};

use lobby_render::command::Surroundings;
use tokio::time::Instant;

use super::{Parts, Task, changed, preview};

/// A program that could not tell may be able to without being another file: one that only calls another (a container), or a
/// machine that had no memory for it. Each time is a process, and a warning if it fails; until it tells, only what
/// HAProxy 1.5 knows is written, which serves.
const AGAIN: Duration = Duration::from_secs(60);

/// A program that was asked.
#[derive(Debug, Default)]
pub(super) struct Asked(Option<(Instant, Option<SystemTime>)>);

impl Asked {
    /// Whether it is time; `now_changed`: when the program was changed last.
    fn is_due(&self, now: Instant, now_changed: Option<SystemTime>) -> bool {
        self.0.is_none_or(|(at, changed)| changed != now_changed || now.duration_since(at) >= AGAIN)
    }
}

impl<P: Parts> Task<P> {
    /// Asked until it is known; later the socket tells of another one.
    pub(super) async fn learn_version(&mut self) {
        if self.version.is_none() && self.haproxy.do_socket {
            self.version = self.parts.version().await;
        }
        if self.version.is_none()
            && let Some(program) = &self.haproxy.program
        {
            let now_changed = found(program, &self.around).and_then(|program| changed(&program));
            if self.asked.is_due(Instant::now(), now_changed) {
                self.asked = Asked(Some((Instant::now(), now_changed)));
                match preview::program_version(&self.haproxy, &self.around).await {
                    Ok(version) => self.version = version,
                    Err(err) => self.stats.fail(err),
                }
            }
        }
        let version = self.version.map(|version| version.to_string());
        self.stats.update(|status| status.version = version);
    }
}

/// The file that is run.
fn found(program: &std::path::Path, around: &Surroundings) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return Some(program.to_owned());
    }
    let set = around.set.iter().find(|(name, _)| name.as_str() == "PATH").map(|(_, value)| value.clone().into());
    let path = set.or_else(|| std::env::var_os("PATH"))?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
