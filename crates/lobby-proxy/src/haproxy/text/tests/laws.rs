//! What holds of every text, whatever a catalog says.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection, option, prelude::*};

use super::*;

/// Words that are likely to hurt, and any others.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{0,2}",
        "[ \\t\\n\\r#\"'\\\\%{}a-z0-9:/]{0,12}",
        Just("check\nbackend evil\n\tserver x 1.1.1.1:1".to_owned()),
        Just("weight 5 id 3 backup".to_owned()),
        any::<String>(),
    ]
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![3 => "10\\.0\\.0\\.[1-4]", 1 => Just("::1".to_owned()), 1 => text()]
}

fn backend() -> impl Strategy<Value = Found> {
    let numbers = (0u16..3, option::of(0u64..5), option::of(0u32..400), any::<bool>(), any::<bool>());
    (text(), host(), text(), numbers).prop_map(|(name, host, options, (port, id, weight, is_backup, is_draining))| Found {
        name,
        host,
        port,
        id,
        weight,
        haproxy_server_options: options,
        labels: BTreeMap::new(),
        is_backup,
        is_draining,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever names, hosts and options are: exactly the expected sections, each line in one, names and ids unique.
    #[test]
    fn the_catalog_never_becomes_configuration(
        names in collection::vec(text(), 1..4),
        pictures in collection::vec(collection::vec(backend(), 0..6), 4),
        is_synapse in any::<bool>(),
        weights in any::<bool>(),
        order in prop_oneof![Just(Order::Shuffled), Just(Order::Found)],
    ) {
        // A service is a key of the settings, so no two have one name (but they may be cleaned to one).
        let names: Vec<_> = names.iter().zip(["", "?", "!", "\n"]).map(|(name, end)| format!("{name}{end}")).collect();
        let services: BTreeSet<_> = names.iter().collect();
        prop_assume!(services.len() == names.len());
        let mut settings = settings(names.iter().map(|name| service(name, &["mode http"])).collect());
        settings.compat = if is_synapse { Compat::Synapse } else { Compat::Lobby };
        settings.services.iter_mut().for_each(|service| service.haproxy.as_mut().unwrap().backend_order = order);
        let haproxy = settings.haproxy.as_mut().unwrap();
        (haproxy.use_nerve_weights, haproxy.max_server_id, haproxy.state_file_path) = (weights, 4, Some("/state".into()));
        let picture: Vec<_> = pictures.iter().map(|backends| known(backends)).collect();
        let mut ids = Ids::default();
        let made = layout(&settings, &picture, version("2.6.12"), &mut ids);
        let again = layout(&settings, &picture, version("2.6.12"), &mut ids);
        prop_assert_eq!(&again.text, &made.text);

        prop_assert!(made.text.ends_with('\n') && !made.text.contains('\r'));
        let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in made.text.lines().skip(2).filter(|line| !line.is_empty()) {
            match line.strip_prefix('\t') {
                Some(line) => sections.last_mut().expect("a line before all sections").1.push(line),
                None => sections.push((line, Vec::new())),
            }
        }
        let kinds: Vec<_> = sections.iter().map(|(title, _)| title.split(' ').next().unwrap_or_default()).collect();
        let mut want = vec!["global", "defaults"];
        names.iter().for_each(|_| want.extend(["frontend", "backend"]));
        prop_assert_eq!(kinds, want);
        let titles: BTreeSet<_> = sections.iter().map(|(title, _)| title).collect();
        prop_assert_eq!(titles.len(), sections.len(), "titles are unique");
        for ((title, lines), backend) in sections.iter().filter(|(title, _)| title.starts_with("backend ")).zip(&made.backends) {
            prop_assert_eq!(*title, format!("backend {}", backend.name));
            prop_assert_eq!(lines[0], "mode http");
            prop_assert_eq!(lines.len(), 1 + backend.servers.len());
            for (line, server) in lines[1..].iter().zip(&backend.servers) {
                let start = format!("server {} {}", server.name, name::address(&server.host, server.port));
                prop_assert!(line.starts_with(&start) && !line.contains('#'), "{}", line);
                prop_assert!(name::is_host(&server.host) && server.port > 0);
                prop_assert_eq!(&name::clean(&server.name), &server.name);
                prop_assert!(server.weight.unwrap_or(0) <= 256 && server.id != Some(0));
            }
            let n_names = backend.servers.iter().map(|server| &server.name).collect::<BTreeSet<_>>().len();
            prop_assert_eq!(n_names, backend.servers.len(), "names are unique");
            let given: Vec<_> = backend.servers.iter().filter_map(|server| server.id).collect();
            prop_assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len(), "ids are unique");
        }
        let skeleton: String = made.text.split_inclusive('\n').filter(|line| !line.starts_with("\tserver ")).collect();
        prop_assert_eq!(made.skeleton, skeleton);
    }
}
