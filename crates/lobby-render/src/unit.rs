//! One template of the configuration: its text, parsed once, and what an evaluation of it makes. Decides which files there are
//! and what they hold; asking is the runner's part, and so is putting them in place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use lobby_template::{ExecError, Funcs, Limits, MissingKey, Options, ParseError, Template, Value};

use crate::command::Surroundings;
use crate::data::Questions;
use crate::manifest::hash;
use crate::settings::{ForEach, TemplateSettings, TemplateSource};
use crate::{Answer, Data, Globs, Pass, Programs, Query, funcs};

/// Longest text of a template, in bytes: the parser takes no more.
const MAX_TEXT: u64 = lobby_template::parse::TEXT_BYTES as u64;

/// What errors call the template that names a file of a `for_each`.
const DESTINATION: &str = "destination";

/// A template that can be evaluated.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) settings: TemplateSettings,
    template: Template,
    /// Where there is a file for each of something.
    items: Option<Items>,
}

/// The files of a template with `for_each`.
#[derive(Debug)]
struct Items {
    each: ForEach,
    /// The name of each file.
    destination: Template,
    /// What comes before the first part of the name that differs: none of the files is elsewhere.
    folder: PathBuf,
    /// Where account is kept of them.
    list: PathBuf,
}

/// Why a template cannot be used. Whoever wrote it mends it.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// Its text cannot be read.
    #[error("{}: cannot read the template", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Its text is no template.
    #[error("{name}: parse: {source}")]
    Parse {
        /// The file, or `(dynamic)`.
        name: String,
        /// Where and why.
        #[source]
        source: ParseError,
    },
    /// It failed while it was evaluated.
    #[error("{name}: execute: {source}")]
    Execute {
        /// The file, or `(dynamic)`.
        name: String,
        /// Where and why.
        #[source]
        source: Box<ExecError>,
    },
    /// There is a folder where the file should be.
    #[error("destination {0:?} is a directory: give the path of a file")]
    Folder(PathBuf),
    /// Two templates have one file.
    #[error("{one} and {other} have the same destination {destination:?}: give each its own")]
    Shared {
        /// Which of them, and its file.
        one: String,
        /// The other one.
        other: String,
        /// As configured.
        destination: PathBuf,
    },
    /// Evaluating it hit a defect of this program. The last good file stays.
    #[error("{name}: execute: a defect of this program, please report it")]
    Defect {
        /// The file, or `(dynamic)`.
        name: String,
    },
    /// Two items have one file, or the name of a file leaves its folder.
    #[error("{name}: destination {destination:?} of {item:?} {problem}")]
    Destination {
        /// The file, or `(dynamic)`.
        name: String,
        /// What was rendered for the item.
        destination: String,
        /// The service or node.
        item: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// What an evaluation works on.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    pub(crate) data: Data,
    pub(crate) env: Arc<BTreeMap<String, String>>,
    pub(crate) now: SystemTime,
    /// A trial run: functions may run programs, which only make text, but write no files.
    pub(crate) is_trial: bool,
    /// Those that run.
    pub(crate) programs: Arc<Programs>,
    /// What those programs find around them.
    pub(crate) around: Surroundings,
}

/// What came of an evaluation.
#[derive(Debug)]
pub(crate) struct Evaluation {
    pub(crate) questions: Questions,
    /// None: an answer is missing.
    pub(crate) files: Result<Option<Vec<Rendered>>, UnitError>,
    /// It asked for the time, so it differs for no reason from one made at another time.
    pub(crate) saw_time: bool,
}

/// A file as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Rendered {
    pub(crate) destination: PathBuf,
    pub(crate) bytes: Arc<[u8]>,
}

impl Unit {
    /// Reads and parses a template.
    pub(crate) fn load(settings: TemplateSettings) -> Result<Self, UnitError> {
        let text = match &settings.source {
            TemplateSource::Contents(text) => text.clone().into_bytes(),
            TemplateSource::File(path) => read(path).map_err(|source| UnitError::Read { path: path.clone(), source })?,
        };
        let name = settings.source.name();
        let left = settings.left_delimiter.as_deref().unwrap_or_default();
        let right = settings.right_delimiter.as_deref().unwrap_or_default();
        let failed = |source| UnitError::Parse { name: name.clone(), source };
        let template = Template::parse_bytes("", &text, &Options { left, right }, &all_funcs()).map_err(failed)?;
        if is_folder(&settings.destination) {
            return Err(UnitError::Folder(settings.destination));
        }
        let items = match (settings.for_each.clone(), list(&settings)) {
            (Some(each), Some(list)) => {
                let path = settings.destination.to_string_lossy();
                Some(Items { each, destination: destination(&path).map_err(failed)?, folder: folder(&path), list })
            }
            _ => None,
        };
        if !ends_a_line(&String::from_utf8_lossy(&text), left, right) {
            tracing::warn!(template = %name, "the template does not end with a new line, nor will the file");
        }
        Ok(Self { settings, template, items })
    }

    /// What errors and log lines call it.
    pub(crate) fn name(&self) -> String {
        self.settings.source.name()
    }

    /// Where account is kept of the files, if there is one for each of something.
    pub(crate) fn list(&self) -> Option<&Path> {
        self.items.as_ref().map(|items| items.list.as_path())
    }

    /// Evaluates it. Blocks: it may run programs.
    pub(crate) fn evaluate(&self, inputs: &Inputs) -> Evaluation {
        let mut pass = Pass::new(inputs.data.clone(), inputs.env.clone(), inputs.now);
        pass.sandbox.clone_from(&self.settings.sandbox_path);
        pass.denied = Globs::new(self.settings.function_denylist.iter().cloned());
        pass.may_act = !inputs.is_trial;
        pass.around.clone_from(&inputs.around);
        pass.programs.clone_from(&inputs.programs);
        let pass = Arc::new(pass);
        let files = match &self.items {
            None => self.one(&pass),
            Some(items) => self.each(&pass, items),
        };
        let questions = pass.asked.questions();
        let is_complete = questions.missing.is_empty();
        let files = files.map(|files| files.filter(|_| is_complete));
        Evaluation { questions, files, saw_time: pass.saw_time.load(Ordering::Relaxed) }
    }

    fn one(&self, pass: &Arc<Pass>) -> Result<Option<Vec<Rendered>>, UnitError> {
        let bytes = self.run(&self.template, pass, &Value::Nil, Limits::default())?;
        Ok(Some(vec![Rendered { destination: self.settings.destination.clone(), bytes: bytes.into() }]))
    }

    /// One file for each service or node, in their order. Together they may be as large as one file.
    fn each(&self, pass: &Arc<Pass>, items: &Items) -> Result<Option<Vec<Rendered>>, UnitError> {
        let Some(dots) = dots(pass, &items.each) else { return Ok(None) };
        let (mut files, mut seen, mut limits) = (Vec::with_capacity(dots.len()), BTreeSet::new(), Limits::default());
        for (item, dot) in dots {
            let name = self.run(&items.destination, pass, &dot, limits)?;
            let destination = String::from_utf8_lossy(&name).into_owned();
            let path = PathBuf::from(&destination);
            if let Some(problem) = problem(&path, &items.folder) {
                // Whoever may register a service must not keep all others from their files.
                tracing::warn!(template = %self.name(), item, destination, "left out: the destination {problem}");
                continue;
            }
            if !seen.insert(path.clone()) {
                let problem = "is that of another one too";
                return Err(UnitError::Destination { name: self.name(), destination, item, problem });
            }
            let bytes = self.run(&self.template, pass, &dot, limits)?;
            limits.bytes = limits.bytes.saturating_sub(bytes.len());
            files.push(Rendered { destination: path, bytes: bytes.into() });
        }
        Ok(Some(files))
    }

    fn run(&self, template: &Template, pass: &Arc<Pass>, dot: &Value, limits: Limits) -> Result<Vec<u8>, UnitError> {
        let missing_key = if self.settings.error_on_missing_key { MissingKey::Error } else { MissingKey::Zero };
        let settings = lobby_template::Settings { missing_key, limits };
        // New functions for each file: what they keep (`scratch`) is for one.
        let out = template.execute(&funcs(pass), dot, &settings);
        out.map_err(|source| UnitError::Execute { name: self.name(), source: Box::new(source) })
    }
}

/// Why an item cannot have this file: names of services may come from anybody.
fn problem(path: &Path, folder: &Path) -> Option<&'static str> {
    let is_reserved = |name: &str| name.starts_with('.') && name.contains(".lobby-");
    if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        Some("is not the name of a file")
    } else if path.components().any(|part| part == Component::ParentDir) {
        Some("goes up")
    } else if !path.starts_with(folder) || folder.as_os_str().is_empty() && path.is_absolute() {
        Some("is outside the folder that all of them begin with")
    } else if path.file_name().is_some_and(|name| is_reserved(&name.to_string_lossy())) {
        Some("is a name that Lobby has files of its own by")
    } else {
        None
    }
}

/// Where account is kept of the files of a template, if there is one for each of something: beside them.
pub(crate) fn list(settings: &TemplateSettings) -> Option<PathBuf> {
    settings.for_each.as_ref()?;
    let path = settings.destination.to_string_lossy();
    Some(folder(&path).join(format!(".{:016x}.lobby-files", hash(path.as_bytes()))))
}

/// What comes before the first part of a destination that differs.
fn folder(destination: &str) -> PathBuf {
    let fixed = destination.split("{{").next().unwrap_or_default();
    PathBuf::from(fixed.rfind('/').map_or("", |end| &fixed[..=end]))
}

/// Whether the file can end with a new line: the text does, or its last line has nothing but ends of blocks, and what is in them
/// does. Empty delimiters are the usual ones.
fn ends_a_line(text: &str, left: &str, right: &str) -> bool {
    let (left, right) = (if left.is_empty() { "{{" } else { left }, if right.is_empty() { "}}" } else { right });
    let last = text.rsplit('\n').next().unwrap_or_default();
    // `{{- end}}` takes the new line before it away.
    let is_end = |action: &str| action.strip_prefix(left).is_some_and(|action| action.trim_end_matches('-').trim() == "end");
    last.split_terminator(right).all(is_end)
}

/// The services or nodes that there is a file for, with their names; None: not known yet.
fn dots(pass: &Pass, each: &ForEach) -> Option<Vec<(String, Value)>> {
    let query = match each {
        ForEach::Service => Query::Services { datacenter: None },
        ForEach::Node(selector) => Query::Selected { selector: selector.clone() },
    };
    match pass.asked.look_up(&pass.data, &query)? {
        Answer::Services(services) => Some(services.iter().map(|it| (it.name.clone(), Arc::new(it.clone()).into())).collect()),
        Answer::Selected(nodes) => Some(nodes.iter().map(|it| (it.name.clone(), Arc::new(it.clone()).into())).collect()),
        _ => None,
    }
}

fn all_funcs() -> Funcs {
    funcs(&Arc::new(Pass::new(Data::default(), Arc::default(), SystemTime::UNIX_EPOCH)))
}

/// The names of the files of a template with `for_each`. Its delimiters are always the usual ones.
pub(crate) fn destination(text: &str) -> Result<Template, ParseError> {
    Template::parse(DESTINATION, text, &Options::default(), &all_funcs())
}

/// Whether a path names a folder, now or by its end.
fn is_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir()
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    // A pipe that nobody writes to would be waited for without end; one that a shell hands over (`<(…)`) has a writer.
    let is_handed_over = path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd");
    if !is_handed_over && !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file"));
    }
    std::fs::File::open(path)?.take(MAX_TEXT + 1).read_to_end(&mut bytes)?;
    // Longer ones are refused by the parser.
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::ends_a_line;

    #[test]
    fn only_a_text_whose_file_has_no_last_new_line_is_warned_about() {
        for text in ["", "a\n", "{{range x}}a\n{{end}}", "{{if x}}{{range x}}a\n{{end}}{{ end -}}"] {
            assert!(ends_a_line(text, "", ""), "{text}");
        }
        for text in ["a", "{{range x}}a{{end}}", "{{range x}}a\n{{- end}}", "{{range x}}a\n{{end}}b", "a\n{{x}}"] {
            assert!(!ends_a_line(text, "", ""), "{text}");
        }
        assert!(ends_a_line("[[range x]]a\n[[end]]", "[[", "]]") && !ends_a_line("[[range x]]a\n{{end}}", "[[", "]]"));
    }
}
