//! What nginx's files should be. Decides it from settings and picture alone, in a stable order, so that the same knowledge
//! is the same bytes.
//!
//! Of what others say (backends) only addresses, host names, ports and weights get in (`host`, `server`); lines of settings
//! stand as their owner wrote them. An upstream never is one that nginx refuses: an empty one gets a placeholder, and its
//! server answers 503.
//! Not here: files that are there (`files`).

use std::{collections::BTreeMap, path::Path};

use super::{File, Layout, host};
use crate::{
    backend::Known,
    settings::{Contexts, Nginx, NginxService, Service, Settings},
};

mod server;
#[cfg(test)]
mod tests;

/// The first line, for people.
const HEAD: &str = "# Written by lobbyd: what is changed here is lost at the next change.\n";

/// Of upstream files for `stream {}`: a pattern takes the files of one folder, and a stream's server is none of http's.
const STREAM: &str = "stream";

/// What the files should be; none without settings for nginx. The file of a service without an answer is kept; in
/// the whole file it has no servers.
pub fn layout(settings: &Settings, picture: &[Known]) -> Layout {
    let mut layout = Layout::default();
    let Some(nginx) = &settings.nginx else { return layout };
    let stanzas = stanzas(settings, nginx, picture, &mut layout.warnings);
    if let Some(folder) = &nginx.upstreams {
        let (known, unknown): (Vec<_>, Vec<_>) = stanzas.iter().partition(|stanza| stanza.is_answered);
        layout.files = known.into_iter().map(|stanza| stanza.file(folder)).collect();
        layout.files.sort_by(|a, b| a.path.cmp(&b.path));
        layout.kept = unknown.into_iter().map(|stanza| stanza.file(folder).path).collect();
    } else if let (Some(contexts), Some(path)) = (&nginx.contexts, &nginx.config_file_path) {
        layout.files.push(File { path: path.clone(), text: whole(contexts, &stanzas) });
    }
    layout
}

/// One service.
struct Stanza {
    /// Of its file.
    name: String,
    is_tcp: bool,
    is_answered: bool,
    /// Without indentation at its beginning.
    lines: Vec<String>,
}

impl Stanza {
    fn file(&self, folder: &Path) -> File {
        let folder = if self.is_tcp { folder.join(STREAM) } else { folder.to_owned() };
        let mut text = HEAD.to_owned();
        write(&mut text, 0, &self.lines);
        File { path: folder.join(format!("{}.conf", self.name)), text }
    }
}

/// In the order of the settings. Names that mean the same to nginx or to a disk are there once.
fn stanzas(settings: &Settings, nginx: &Nginx, picture: &[Known], warnings: &mut Vec<String>) -> Vec<Stanza> {
    let mut taken = BTreeMap::new();
    let unknown = Known::default();
    let known = picture.iter().chain(std::iter::repeat(&unknown));
    let mut stanzas = Vec::new();
    for (service, known) in settings.services.iter().zip(known) {
        let Some(of) = &service.nginx else { continue };
        let upstream = of.upstream_name.as_deref().unwrap_or(&service.name);
        let (Some(name), Some(upstream)) = (host::name(&service.name), host::name(upstream)) else {
            warnings.push(format!("service {:?} is left out: its name is empty or longer than 200 characters", service.name));
            continue;
        };
        // nginx compares names of upstreams without regard to case.
        let keys = [(of.is_tcp, false, name.to_ascii_lowercase()), (of.is_tcp, true, upstream.to_ascii_lowercase())];
        if let Some(other) = keys.iter().find_map(|key| taken.get(key)) {
            let name = &service.name;
            warnings.push(format!("service {name:?} is left out: its file or upstream has the name of that of {other:?}"));
            continue;
        }
        taken.extend(keys.map(|key| (key, service.name.as_str())));
        let lines = stanza(service, of, nginx, &upstream, known, warnings);
        stanzas.push(Stanza { name, is_tcp: of.is_tcp, is_answered: known.backends.is_some(), lines });
    }
    stanzas
}

fn stanza(
    service: &Service,
    of: &NginxService,
    nginx: &Nginx,
    upstream: &str,
    known: &Known,
    warnings: &mut Vec<String>,
) -> Vec<String> {
    let servers = server::servers(of, known.backends.as_deref().unwrap_or_default());
    let name = &service.name;
    warnings.extend(servers.warnings.iter().map(|warning| format!("service {name:?}: {warning}")));
    let mut lines = vec![format!("upstream {upstream} {{")];
    lines.extend(of.upstream.iter().filter_map(|line| directive(line)).map(indented));
    lines.extend(servers.lines.into_iter().map(indented));
    lines.push("}".into());
    let Some(port) = of.port else { return lines };
    let address = host::listen(of.listen_address.as_deref().unwrap_or(&nginx.listen_address), port);
    let options = of.listen_options.trim();
    let blank = if options.is_empty() { "" } else { " " };
    lines.extend([String::new(), "server {".into(), format!("\tlisten {address}{blank}{options};")]);
    lines.extend(of.server.iter().filter_map(|line| directive(line)).map(indented));
    lines.extend(pass(of, upstream, servers.n_up).into_iter().map(indented));
    lines.push("}".into());
    lines
}

/// What leads from a server to its upstream, unless its owner wrote that.
fn pass(of: &NginxService, upstream: &str, n_up: usize) -> Vec<String> {
    let is_given = |words: &[&str]| {
        let starts = |line: &str| line.replace('{', " { ").split_ascii_whitespace().take(words.len()).eq(words.iter().copied());
        of.server.iter().flat_map(|directive| directive.lines()).any(starts)
    };
    if of.is_tcp {
        let given = is_given(&["proxy_pass"]) || is_given(&["return"]);
        return if given { Vec::new() } else { vec![format!("proxy_pass {upstream};")] };
    }
    let mut lines = Vec::new();
    if !is_given(&["proxy_next_upstream"]) {
        lines.push("proxy_next_upstream error timeout;".into());
    }
    if !is_given(&["location", "/"]) {
        let to = if n_up == 0 { "return 503;".into() } else { format!("proxy_pass http://{upstream};") };
        lines.extend(["location / {".into(), format!("\t{to}"), "}".into()]);
    }
    lines
}

fn whole(contexts: &Contexts, stanzas: &[Stanza]) -> String {
    let mut text = HEAD.to_owned();
    let main: Vec<_> = contexts.main.iter().filter_map(|line| directive(line)).collect();
    write(&mut text, 0, &main);
    let mut context = |title: &str, lines: &[String], stanzas: Vec<&Stanza>| {
        text += &format!("\n{title} {{\n");
        let lines: Vec<_> = lines.iter().filter_map(|line| directive(line)).collect();
        write(&mut text, 1, &lines);
        for stanza in stanzas {
            text.push('\n');
            write(&mut text, 1, &stanza.lines);
        }
        text += "}\n";
    };
    context("events", &contexts.events, Vec::new());
    for (title, lines, is_tcp) in [("http", &contexts.http, false), (STREAM, &contexts.stream, true)] {
        let stanzas: Vec<_> = stanzas.iter().filter(|stanza| stanza.is_tcp == is_tcp).collect();
        if !lines.is_empty() || !stanzas.is_empty() {
            context(title, lines, stanzas);
        }
    }
    text
}

/// A line of settings with its end; None: there is nothing in it.
fn directive(line: &str) -> Option<String> {
    let line = line.trim();
    // Of several lines the last one tells.
    let last = line.lines().next_back().unwrap_or_default().trim_start();
    let has_end = line.ends_with([';', '{', '}']) || last.starts_with('#');
    (!line.is_empty()).then(|| if has_end { line.to_owned() } else { format!("{line};") })
}

fn indented(line: String) -> String {
    format!("\t{line}")
}

fn write(text: &mut String, depth: usize, lines: &[String]) {
    for line in lines {
        if !line.is_empty() {
            *text += &"\t".repeat(depth);
            *text += line;
        }
        text.push('\n');
    }
}
