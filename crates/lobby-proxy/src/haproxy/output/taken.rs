//! Whether another program has a port that HAProxy is to have. Decides for which HAProxy that can be told from here, and what
//! its process has already.
//!
//! Looked at before a file is put in place, and again before a reload, as somebody may have come in between.
//! Not here: how an address is read and tried (`haproxy::ports`).

use tokio::time::Instant;

use super::{AGAIN, Parts, Task};
use crate::{
    haproxy::{
        Layout, manage,
        manage::Managed,
        name,
        ports::{self, Taken},
    },
    settings::{Compat, Haproxy, Settings},
};

/// Whether HAProxy's ports are those that this program sees: it may be in another machine's or container's network. `pid`: of
/// a process that answered.
pub(super) fn is_here(haproxy: &Haproxy, managed: Option<&Managed>, pid: Option<u32>) -> bool {
    match managed.filter(|_| haproxy.manage) {
        // Its program may be a script that puts it elsewhere.
        Some(managed) => managed.pid().and_then(has_our_network).unwrap_or(true),
        None => {
            let pid = pid.filter(|_| haproxy.do_socket);
            // The number of a process in a container may be another process here.
            let is_haproxy = |pid: &u32| {
                let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                name.starts_with("haproxy")
            };
            pid.filter(is_haproxy).and_then(has_our_network).unwrap_or(false)
        }
    }
}

/// None: it cannot be seen.
fn has_our_network(pid: u32) -> Option<bool> {
    let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    Some(network(&pid.to_string())? == network("self")?)
}

/// The first address of `layout` that is new to the process and the file, and that somebody else has. `loaded`: what the
/// process was started with. Where neither is known, our own process may be who has it.
pub(super) async fn first(
    settings: &Settings,
    layout: &Layout,
    loaded: Option<&str>,
    file: Option<&std::path::Path>,
) -> Option<Taken> {
    let there = match file {
        Some(file) => tokio::fs::read(file).await.ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        None => None,
    };
    let known: Vec<&str> = loaded.into_iter().chain(there.as_deref()).collect();
    if known.is_empty() {
        return None;
    }
    let taken = ports::first_taken(&ports::new_in(&layout.skeleton, &known)).await?;
    Some(Taken { owner: owner(settings, &taken.owner), ..taken })
}

/// As people have it in their settings.
fn owner(settings: &Settings, section: &str) -> String {
    let title = section.strip_prefix("frontend ").unwrap_or_default();
    let service = settings.services.iter().find(|service| name::clean(&service.name) == title);
    match (service, settings.compat) {
        (Some(service), Compat::Synapse) => format!("service {}", service.name),
        (Some(service), _) => format!("proxy.service.{}", service.name),
        (None, _) => section.to_owned(),
    }
}

impl<P: Parts> Task<P> {
    /// Whether a reload would meet a port that somebody else has. It is put off then.
    pub(super) async fn is_in_the_way(&mut self, layout: &Layout) -> bool {
        let is_here = is_here(&self.haproxy, self.managed.as_ref(), self.memory.pid());
        let Some(loaded) = self.memory.text().filter(|_| is_here) else { return false };
        let Some(taken) = first(&self.settings, layout, Some(loaded), None).await else { return false };
        self.stats.fail(format!("no reload meanwhile: {taken}"));
        self.policy.put_off(Instant::now() + AGAIN);
        true
    }

    /// What HAProxy complained of last, if `err` does not tell it.
    pub(super) fn with_complaint(&self, err: String) -> String {
        let file = self.haproxy.config_file_path.as_deref().filter(|_| self.haproxy.manage);
        match file.and_then(manage::complaint).filter(|complaint| !err.contains(complaint)) {
            Some(complaint) => format!("{err}: {complaint}"),
            None => err,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Service;

    #[test]
    fn only_the_network_that_this_program_sees_is_judged() {
        let (unmanaged, own) = (Haproxy::default(), std::process::id());
        assert_eq!(has_our_network(own), Some(true));
        assert!(!is_here(&unmanaged, None, None), "nobody answers");
        assert!(!is_here(&unmanaged, None, Some(own)), "that is no HAProxy");
        assert!(!is_here(&Haproxy { do_socket: false, ..unmanaged }, None, Some(own)));
    }

    #[test]
    fn owners_are_called_as_in_the_settings() {
        let services = ["web", "a b"].map(|name| Service { name: name.into(), ..Service::default() });
        let settings = Settings { services: services.into(), ..Settings::default() };
        for (section, want) in [
            ("frontend web", "proxy.service.web"),
            ("frontend a_b", "proxy.service.a b"),
            ("listen web", "listen web"),
            ("frontend shared-frontend", "frontend shared-frontend"),
        ] {
            assert_eq!(owner(&settings, section), want);
        }
        let settings = Settings { compat: Compat::Synapse, ..settings };
        assert_eq!(owner(&settings, "frontend web"), "service web");
    }

    #[tokio::test]
    async fn where_nothing_is_known_nobody_is_accused() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let text = format!("frontend web\n\tbind {}\n", taken.local_addr().unwrap());
        let (settings, layout) = (Settings::default(), Layout { skeleton: text.clone(), ..Layout::default() });
        assert_eq!(first(&settings, &layout, None, None).await, None);
        assert_eq!(first(&settings, &layout, Some(&text), None).await, None, "our own process has it");
        assert!(first(&settings, &layout, Some("global\n"), None).await.is_some());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, text).unwrap();
        assert_eq!(first(&settings, &layout, Some("global\n"), Some(&file)).await, None);
    }
}
