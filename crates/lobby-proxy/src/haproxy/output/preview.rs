//! What the next turn would do to an HAProxy, with nothing done. Decides what people are shown before they let it be done.
//!
//! Reads what the task reads: state file, the file that is there, the socket, and what the process was started with. What a
//! process was told before is not known here, so options of a server that is there count as what they should be.
//! Not here: doing it (`run`), how it is shown.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use lobby_render::{
    command::{Surroundings, run_captured},
    settings::{CommandSettings, Env},
};
use tokio::time::Instant;

use super::{Parts as _, changed, joined::Joined, judge, memory, memory::Memory, saved, unix_now};
use crate::{
    Settings,
    backend::Known,
    haproxy::{Layout, plan::Plan, version::Version},
    settings::Haproxy,
};

/// For `-v`, which only prints: a second would be long.
const PRINTS: Duration = Duration::from_secs(5);

/// What would be done.
#[derive(Debug)]
pub struct Preview {
    /// What it should be like.
    pub layout: Layout,
    /// Of the HAProxy that reads the file, as far as it is known.
    pub version: Option<Version>,
    /// The file that would be written, and the text that it has now; None: no file is kept.
    pub file: Option<(PathBuf, Option<String>)>,
    /// What each process would be told, by its socket, or why it does not answer. Empty: no socket is used.
    pub plans: Vec<(PathBuf, Result<Plan, String>)>,
    /// Why a reload would be needed, beside the reasons in the plans.
    pub reload: Vec<String>,
}

impl Preview {
    /// Whether the file would change.
    pub fn is_new_file(&self) -> bool {
        self.file.as_ref().is_some_and(|(_, old)| old.as_deref() != Some(&self.layout.text))
    }

    /// Everything is as it should be.
    pub fn is_in_step(&self) -> bool {
        let is_done = |plan: &Result<Plan, String>| plan.as_ref().is_ok_and(Plan::is_empty);
        !self.is_new_file() && self.reload.is_empty() && self.plans.iter().all(|(_, plan)| is_done(plan))
    }
}

/// Looks at the HAProxy of `settings`; None: there is none. Every service in it must be known.
pub async fn preview(settings: &Settings, picture: &[Known], around: &Surroundings) -> Option<Preview> {
    let haproxy = settings.haproxy.as_ref()?;
    let mut parts = Joined::new(haproxy);
    parts.restore(saved(settings, haproxy).await);
    let mut version = haproxy.version;
    if version.is_none() && haproxy.do_socket {
        version = parts.version().await;
    }
    if version.is_none() {
        // Written without knowing it, as the task does.
        version = program_version(haproxy, around).await.unwrap_or_default();
    }
    let mut picture = picture.to_vec();
    super::warm::instead(&mut parts, haproxy, settings, version, &mut picture, &mut BTreeMap::new()).await;
    let layout = parts.layout(settings, &picture, version, unix_now());
    let file = haproxy.config_file_path.clone().filter(|_| haproxy.do_writes);
    let file = file.map(|path| {
        let old = std::fs::read(&path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (path, old)
    });
    let mut preview = Preview { layout, version, file, plans: Vec::new(), reload: Vec::new() };
    if haproxy.do_socket {
        preview.plans = parts.plans(&preview.layout).await;
    }
    let answers = preview.plans.iter().all(|(_, plan)| plan.is_ok());
    // Where nobody answers nothing is known of what runs, if anything does.
    if answers {
        preview.reload = reasons(haproxy, &preview, &parts).await;
    }
    Some(preview)
}

async fn reasons(haproxy: &Haproxy, preview: &Preview, parts: &Joined) -> Vec<String> {
    let mut memory = Memory::read(memory::path(haproxy)).await;
    if haproxy.do_socket {
        let in_place = preview.file.as_ref().filter(|_| !preview.is_new_file()).and_then(|(path, _)| changed(path));
        let seconds = in_place.and_then(|changed| changed.duration_since(SystemTime::UNIX_EPOCH).ok());
        let filed = seconds.map(|since| (since.as_secs(), preview.layout.skeleton.as_str()));
        memory.see(parts.process().await, filed, Instant::now());
    }
    judge::structure(haproxy, memory.text(), &preview.layout).into_iter().map(|(_, text)| text).collect()
}

/// What the program says of itself, if it is known.
pub(super) async fn program_version(haproxy: &Haproxy, around: &Surroundings) -> Result<Option<Version>, String> {
    let Some(program) = &haproxy.program else { return Ok(None) };
    let argv = vec![program.display().to_string(), "-v".into()];
    let command = CommandSettings { argv, timeout: PRINTS, env: Env::default() };
    match run_captured(&command, around).await {
        Ok(text) => Ok(text.split_ascii_whitespace().find_map(|word| word.parse().ok())),
        Err(err) => Err(format!("its version is not known: {err}")),
    }
}
