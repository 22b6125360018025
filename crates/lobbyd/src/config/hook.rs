//! Hooks: CALLBACK, and the `[[hook]]` blocks of the file.
//!
//! ```toml
//! [[hook]]
//! name = "balancer"                      # for the log; default: the program
//! command = ["/usr/local/bin/reload", "haproxy"]   # or one text, split at blanks
//! cooldown = 5                           # seconds; the defaults are those of CALLBACK
//! first_run_delay = 10
//! timeout = 60
//! labels = "service:web"                 # only hosts with any of these; or prefixes = "service:"
//! ```

use lobby::hook::Hook;
use lobby_core::select::Selector;
use toml::Table;

use super::{ConfigError, Read, block::Block};

const KEYS: &[&str] = &["name", "command", "cooldown", "first_run_delay", "timeout", "labels", "prefixes"];

/// The hook that the CALLBACK variables describe.
pub(super) fn callback(read: &Read<'_>) -> Result<Option<Hook>, ConfigError> {
    let command: Vec<String> = read.text("CALLBACK").split_whitespace().map(str::to_owned).collect();
    let hook = Hook {
        name: "callback".into(),
        command,
        cooldown: read.seconds("CALLBACK_COOLDOWN")?,
        first_delay: read.seconds("CALLBACK_FIRST_RUN_DELAY")?,
        timeout: read.positive_seconds("CALLBACK_TIMEOUT")?,
        selector: Selector::All,
    };
    Ok((!hook.command.is_empty()).then_some(hook))
}

/// The hook of one block.
pub(super) fn from_table(table: &Table) -> Result<Hook, ConfigError> {
    let block = Block::new("hook", table, KEYS)?;
    let (name, command) = block.name_and_command()?;
    Ok(Hook {
        name,
        command,
        cooldown: block.seconds("cooldown", 15, 0.0)?,
        first_delay: block.seconds("first_run_delay", 30, 0.0)?,
        timeout: block.seconds("timeout", 60, 0.01)?,
        selector: Selector::from_query(block.list("labels")?.as_deref(), block.list("prefixes")?.as_deref()),
    })
}
