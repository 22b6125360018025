//! What of a good configuration does nothing, or names what this machine has not. Decides nothing but the words: all of it may still
//! come to be, so these are warnings; what can never be right is refused by `resolve`.

use std::path::Path;

use super::Config;
use crate::apply::unknown_owner;
use crate::settings::Settings;

impl Config {
    /// What of the whole has no effect, for people.
    pub fn idle(&self) -> Vec<&'static str> {
        let settings = &self.settings;
        let no_command = settings.exec.is_none() && settings.templates.iter().all(|template| template.command.is_none());
        let all = [
            (settings.templates.is_empty(), "there is no template: nothing is rendered"),
            (self.process.diff && !settings.dry, "diff does nothing without dry"),
            (settings.stagger.is_some() && no_command, "stagger does nothing without commands"),
        ];
        all.into_iter().filter_map(|(is_idle, what)| is_idle.then_some(what)).collect()
    }
}

/// Users, groups and folders that are not there, for people.
pub fn missing(settings: &Settings, keys_dir: Option<&Path>) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(folder) = keys_dir.filter(|folder| !folder.is_dir()) {
        warnings.push(format!("keys_dir {} is no folder: there are no keys", folder.display()));
    }
    for (index, template) in settings.templates.iter().enumerate() {
        if let Some(err) = unknown_owner(template) {
            warnings.push(format!("{}: {err}", template.called(index)));
        }
    }
    warnings
}
