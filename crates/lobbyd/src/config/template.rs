//! Templates: the `[[template]]` blocks of the file, and the settings that all of them share.
//!
//! ```toml
//! [[template]]
//! source = "/etc/lobby/haproxy.cfg.tpl"
//! destination = "/etc/haproxy/haproxy.cfg"
//! check = "haproxy -c -f {{.Path}}"
//! command = "systemctl reload haproxy"
//! ```
//! Texts of templates are no part of the configuration: a bad one is told by `--check-config` and by a reload, but keeps no
//! agent from starting. Not here: the keys of a block (`lobby_render::config`), what runs (`crate::template`).

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::SystemTime};

use lobby_render::{
    Runner, Settings,
    command::Surroundings,
    config::{ConfigError as BlockError, Partial, missing, template_from_toml, value::Block},
    manifest::{Lists, lists},
    runner::Environment,
    settings::TemplateSettings,
    source::Files,
};
use tokio::sync::mpsc;
use toml::{Table, Value};
use tracing::subscriber::NoSubscriber;

use super::{ConfigError, Read};

/// What is to be rendered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Templates {
    /// For the runner.
    pub(crate) settings: Settings,
    /// A folder whose files are the keys.
    pub(crate) keys: Option<PathBuf>,
    /// The file that has the blocks, for messages.
    file: String,
}

impl Default for Templates {
    fn default() -> Self {
        let settings =
            Settings { templates: Vec::new(), exec: None, wait: None, once: false, dry: false, rate: 1, stagger: None };
        Self { settings, keys: None, file: String::new() }
    }
}

/// Every template, and what they share.
pub(super) fn all(read: &Read<'_>, warnings: &mut Vec<String>) -> Result<Templates, ConfigError> {
    let whole = one(wait(read)).map_err(|_| read.refuse("TEMPLATE_WAIT", "a time, or the least and the most, such as 2s:10s"))?;
    let stagger = stagger(read.text("TEMPLATE_STAGGER")).and_then(|table| one(table).ok());
    let stagger = stagger
        .ok_or_else(|| read.refuse("TEMPLATE_STAGGER", "off, or how many at once and for how long, such as 1 or 2:30s"))?;
    let mut rate = Table::new();
    rate.insert("rate".into(), Value::Integer(read.parse::<u32>("TEMPLATE_RATE", "a whole number above 0")?.into()));
    let rate = one(rate).map_err(|_| read.refuse("TEMPLATE_RATE", "a whole number above 0"))?;
    let at = |why: String| ConfigError::File { file: read.raw.file.clone(), why };
    let config = whole.merge(stagger).merge(rate).resolve(|_| None).map_err(|err| at(err.to_string()))?;
    let mut settings = config.settings;
    for (number, table) in (1..).zip(&read.raw.templates) {
        let (mut template, warned) = template_from_toml(table).map_err(|err| at(format!("[[template]] {number}: {err}")))?;
        let same = |other: &TemplateSettings| other.destination == template.destination;
        if let Some(other) = settings.templates.iter().position(same) {
            let destination = template.destination.display();
            return Err(at(format!("[[template]] {number}: {destination} is the destination of [[template]] {} too", other + 1)));
        }
        warnings.extend(warned.into_iter().map(|warning| format!("[[template]] {number}: {warning}")));
        template.number = number;
        settings.templates.push(template);
    }
    Ok(Templates { settings, keys: read.path("TEMPLATE_KEYS_DIR"), file: read.raw.file.clone() })
}

/// A part of the configuration, if it is good by itself.
fn one(table: Table) -> Result<Partial, BlockError> {
    let part = Partial::from_block(&Block::from(&table))?;
    part.clone().resolve(|_| None).map(|_| part)
}

fn wait(read: &Read<'_>) -> Table {
    let text = read.some_text("TEMPLATE_WAIT").filter(|text| text != "off");
    text.map(|text| ("wait".to_owned(), Value::String(text))).into_iter().collect()
}

/// Nothing, `COUNT` or `COUNT:SLOT`.
fn stagger(text: &str) -> Option<Table> {
    if text.is_empty() || text == "off" {
        return Some(Table::new());
    }
    let (count, slot) = text.split_once(':').map_or((text, None), |(count, slot)| (count, Some(slot)));
    let mut stagger = Table::new();
    stagger.insert("at_once".into(), Value::Integer(count.parse::<u32>().ok()?.into()));
    if let Some(slot) = slot {
        stagger.insert("slot".into(), Value::String(slot.into()));
    }
    Some(Table::from_iter([("stagger".to_owned(), Value::Table(stagger))]))
}

impl Templates {
    /// What is named and not there, for people: it may come to be.
    pub(crate) fn missing(&self) -> Vec<String> {
        missing(&self.settings, self.keys.as_deref())
    }

    /// Reads and parses every text; what is wrong with the first bad one.
    pub(crate) fn check(&self) -> Result<(), String> {
        (1..).zip(&self.settings.templates).try_for_each(|(number, template)| self.check_one(number, template))
    }

    /// Where account is kept of files, also of templates whose texts are bad; `before` are those that this agent had earlier.
    pub(crate) fn lists(&self, before: BTreeSet<PathBuf>) -> Lists {
        // The same file at each start, from wherever.
        let file = std::path::absolute(&self.file).unwrap_or_default();
        let owner = format!("lobbyd {}", file.display());
        Lists { owner, known: lists(&self.settings.templates), before }
    }

    /// Those whose texts are good, and what is wrong with the others.
    pub(crate) fn usable(&self) -> (Settings, Vec<String>) {
        let (mut settings, mut wrong) = (self.settings.clone(), Vec::new());
        let mut number = 0;
        settings.templates.retain(|template| {
            number += 1;
            self.check_one(number, template).map_err(|why| wrong.push(why)).is_ok()
        });
        (settings, wrong)
    }

    /// A runner that never runs reads it as one that does.
    fn check_one(&self, number: usize, template: &TemplateSettings) -> Result<(), String> {
        let environment = Environment {
            around: Surroundings::default(),
            variables: Arc::default(),
            node: String::new(),
            keep_going: true,
            lookups_must_succeed: false,
            lists: Lists::default(),
            clock: || SystemTime::UNIX_EPOCH,
            show: |_| {},
        };
        let alone = Settings { templates: vec![template.clone()], ..self.settings.clone() };
        // What is worth a warning is told by the runner that runs.
        let read = || Runner::new(alone, environment, Files, mpsc::channel(1).1);
        let read = tracing::subscriber::with_default(NoSubscriber::default(), read);
        read.map(drop).map_err(|err| format!("{}: [[template]] {number}: {}", self.file, with_causes(err.what())))
    }
}

/// An error with its causes, each once.
pub(crate) fn with_causes(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        let more = err.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = err.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::super::{Config, raw::Raw};
    use super::*;

    fn templates(text: &str, variables: &[(&str, &str)]) -> Result<Templates, ConfigError> {
        let mut raw = Raw::default();
        raw.read_file(Path::new("lobby.toml"), text)?;
        raw.read_environment(variables.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        Config::from_raw(raw, false).map(|config| config.templates)
    }

    const TWO: &str = "[[template]]\ncontents = \"a\\n\"\ndestination = \"/a\"\n\
                       [[template]]\nsource = \"/b.tpl\"\ndestination = \"/b\"\nexec = { command = \"x\", timeout = \"5s\" }\n";

    #[test]
    fn blocks_and_what_they_share() {
        let none = templates("", &[]).unwrap();
        assert_eq!((none.settings.templates.len(), none.settings.rate, none.settings.wait), (0, 100, None));
        let variables = [("TEMPLATE_WAIT", "2s:10s"), ("TEMPLATE_STAGGER", "2:1m"), ("TEMPLATE_KEYS_DIR", "/keys")];
        let two = templates(&format!("[templates]\nrate = 7\n{TWO}"), &variables).unwrap();
        let (settings, wait) = (&two.settings, two.settings.wait.unwrap());
        assert_eq!((wait.min, wait.max), (Duration::from_secs(2), Duration::from_secs(10)));
        let stagger = settings.stagger.unwrap();
        assert_eq!((stagger.at_once, stagger.slot, settings.rate), (2, Duration::from_secs(60), 7));
        assert_eq!(two.keys.as_deref(), Some(Path::new("/keys")));
        let command = settings.templates[1].command.clone().unwrap();
        assert_eq!((command.argv, command.timeout), (vec!["x".to_owned()], Duration::from_secs(5)));
        assert_eq!(templates("", &[("TEMPLATE_STAGGER", "3")]).unwrap().settings.stagger.unwrap().slot, Duration::from_secs(30));
    }

    #[test]
    fn a_mistake_names_the_file_and_the_block_or_the_setting() {
        for (text, words) in [
            ("[[template]]\nsorce = \"x\"\ndestination = \"/x\"\n", &["lobby.toml", "[[template]] 3", "sorce", "source"][..]),
            ("[[template]]\ncontents = \"x\"\n", &["[[template]] 3", "destination"]),
            ("[[template]]\ncontents = \"x\"\ndestination = \"/a\"\n", &["[[template]] 3", "/a", "[[template]] 1 too"]),
        ] {
            let message = templates(&format!("{TWO}{text}"), &[]).err().unwrap().to_string();
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
        }
        assert!(templates("template = 1\n", &[]).err().unwrap().to_string().contains("[[template]] blocks"));
        for (name, bad) in [
            ("TEMPLATE_WAIT", "soon"),
            ("TEMPLATE_WAIT", "10s:2s"),
            ("TEMPLATE_RATE", "0"),
            ("TEMPLATE_RATE", "x"),
            ("TEMPLATE_STAGGER", "0"),
            ("TEMPLATE_STAGGER", "1:0s"),
            ("TEMPLATE_STAGGER", "many"),
        ] {
            let message = templates("", &[(name, bad)]).err().unwrap().to_string();
            assert!(message.contains(name) && message.contains(bad), "{message}");
        }
    }

    #[test]
    fn a_bad_text_is_told_and_left_out_alone() {
        let two = templates(TWO, &[]).unwrap();
        let why = two.check().unwrap_err();
        assert!(why.contains("lobby.toml: [[template]] 2: /b.tpl") && why.contains("No such file"), "{why}");
        let (usable, wrong) = two.usable();
        assert_eq!((usable.templates.len(), wrong), (1, vec![why]));
        let open = templates("[[template]]\ncontents = \"{{if}}\"\ndestination = \"/a\"\n", &[]).unwrap();
        assert!(open.check().unwrap_err().contains("[[template]] 1: (dynamic): parse: template: :1:"));
    }

    #[test]
    fn what_is_not_there_is_warned_about_and_a_folder_is_no_destination() {
        let text = "[[template]]\ncontents = \"a\\n\"\ndestination = \"/a\"\nuser = \"no such\"\n\
                    [[template]]\ncontents = \"a\\n\"\ndestination = \"/tmp\"\n";
        let two = templates(text, &[("TEMPLATE_KEYS_DIR", "/no/such")]).unwrap();
        let missing = two.missing();
        assert!(missing.len() == 2 && missing[0].contains("/no/such") && missing[1].contains("\"no such\""), "{missing:?}");
        assert!(two.check().unwrap_err().contains("[[template]] 2: destination \"/tmp\" is a directory"));
        let each = "[[template]]\ncontents = \"a\"\ndestination = \"/x/{{.Name\"\nfor_each = \"service\"\n";
        let why = templates(each, &[]).err().unwrap().to_string();
        assert!(why.contains("[[template]] 1: template \"/x/{{.Name\": template: destination:1:"), "{why}");
    }

    #[test]
    fn what_is_printed_gives_the_same_templates() {
        let mut raw = Raw::default();
        raw.read_file(Path::new("lobby.toml"), TWO).unwrap();
        let printed = raw.print();
        let again = templates(&printed, &[]).unwrap_or_else(|err| panic!("{err}: {printed}"));
        assert_eq!(again.settings, templates(TWO, &[]).unwrap().settings);
    }
}
