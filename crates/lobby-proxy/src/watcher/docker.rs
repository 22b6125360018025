//! Containers of an image on Docker daemons. Decides when an image is the one, and which port of a container is a backend.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{parts::Parts, told::Told};
use crate::{
    Backend,
    fetch::{Fetch, Request},
    settings::{DockerServer, DockerWatch},
};

/// A daemon that has not told its containers by then is in trouble.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Shortest time between two polls, whatever is configured.
const SHORTEST: Duration = Duration::from_millis(100);

/// Of `GET /containers/json`, which lists those that run.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    #[serde(default)]
    image: String,
    #[serde(default)]
    ports: Option<Vec<Port>>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Port {
    private_port: u16,
    #[serde(default)]
    public_port: Option<u16>,
    #[serde(default)]
    r#type: String,
}

/// Asks all daemons of a watch until the join ends.
pub(super) async fn watch<F: Fetch>(watch: DockerWatch, fetch: F, at: usize, told: mpsc::Sender<(usize, Told)>) {
    let mut parts = Parts::new(watch.servers.len(), Instant::now());
    loop {
        let mut running = JoinSet::new();
        for (part, server) in watch.servers.iter().enumerate() {
            let (fetch, server, watch) = (fetch.clone(), server.clone(), watch.clone());
            running.spawn(async move {
                let answer = ask(&fetch, &server, &watch).await;
                let name = if server.name.is_empty() { &server.endpoint } else { &server.name };
                (part, answer.map_err(|err| format!("docker {name}: {err}")))
            });
        }
        while let Some(done) = running.join_next().await {
            let Ok((part, answer)) = done else { continue };
            if parts.put(part, answer) && told.send((at, parts.told(Instant::now()))).await.is_err() {
                return;
            }
        }
        if told.send((at, parts.told(Instant::now()))).await.is_err() {
            return;
        }
        sleep(watch.interval.max(SHORTEST)).await;
    }
}

async fn ask<F: Fetch>(fetch: &F, server: &DockerServer, watch: &DockerWatch) -> Result<Vec<Backend>, String> {
    let socket = server.endpoint.strip_prefix("unix:");
    let base = socket.map_or(server.endpoint.trim_end_matches('/'), |_| "http://localhost");
    let request = Request {
        method: "GET",
        url: format!("{base}/containers/json"),
        // `unix:///run/docker.sock` is written as well.
        unix_socket: socket.map(|path| PathBuf::from(path.strip_prefix("//").unwrap_or(path))),
        timeout: TIMEOUT,
        ..Request::default()
    };
    let response = fetch.fetch(request).await.map_err(|err| err.to_string())?;
    if response.status != 200 {
        return Err(format!("status {}", response.status));
    }
    backends(&response.body, server, watch)
}

/// One backend for each public port; that both families of addresses have it makes it one still.
fn backends(body: &[u8], server: &DockerServer, watch: &DockerWatch) -> Result<Vec<Backend>, String> {
    let containers: Vec<Container> = serde_json::from_slice(body).map_err(|err| format!("unexpected JSON: {err}"))?;
    let mut found = BTreeMap::new();
    for container in containers.into_iter().filter(|container| is_image(&watch.image_name, &container.image)) {
        let labels = container.labels.unwrap_or_default();
        for port in container.ports.unwrap_or_default() {
            let is_wanted = port.private_port == watch.container_port && (port.r#type.is_empty() || port.r#type == "tcp");
            if let Some(public) = port.public_port.filter(|public| is_wanted && *public != 0) {
                found.insert(public, labels.clone());
            }
        }
    }
    let backend = |(port, labels): (u16, BTreeMap<String, String>)| Backend {
        name: server.name.clone(),
        host: server.host.clone(),
        port,
        labels,
        ..Backend::default()
    };
    Ok(found.into_iter().map(backend).collect())
}

/// Whether a container's image is the wanted one: the same text, or the same name and either no tag wanted or the same tag
/// (none is `latest`). A digest is no part of either.
fn is_image(wanted: &str, image: &str) -> bool {
    if wanted == image {
        return true;
    }
    if wanted.contains('@') {
        return false;
    }
    let (wanted_name, wanted_tag) = name_and_tag(wanted);
    let (name, tag) = name_and_tag(image.split('@').next().unwrap_or_default());
    name == wanted_name && wanted_tag.is_none_or(|wanted| tag.unwrap_or("latest") == wanted)
}

/// A colon before the last slash is that of a registry's port.
fn name_and_tag(image: &str) -> (&str, Option<&str>) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (image, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_the_same_by_name_and_by_a_tag_that_is_wanted() {
        for (wanted, image, want) in [
            ("web", "web", true),
            ("web", "web:1.2", true),
            ("web", "web@sha256:ab", true),
            ("web", "web:1.2@sha256:ab", true),
            ("web:1.2", "web:1.2@sha256:ab", true),
            ("web:1.2", "web:1.3", false),
            ("web:latest", "web", true),
            ("web:1.2", "web", false),
            ("web", "webby", false),
            ("web", "own/web", false),
            ("reg:5000/web", "reg:5000/web", true),
            ("reg:5000/web", "reg:5000/web:2", true),
            ("reg:5000/web", "reg:5000/other:2", false),
            ("reg", "reg:5000/web", false),
            ("web@sha256:ab", "web@sha256:ab", true),
            ("web@sha256:ab", "web@sha256:cd", false),
            ("web", "sha256:ab", false),
            ("sha256:ab", "sha256:ab", true),
            ("", "", true),
        ] {
            assert_eq!(is_image(wanted, image), want, "{wanted} {image}");
        }
    }

    #[test]
    fn published_tcp_ports_of_the_image_are_backends() {
        let server = DockerServer { name: "d".into(), host: "10.0.0.1".into(), endpoint: String::new() };
        let watch = DockerWatch { servers: Vec::new(), image_name: "web".into(), container_port: 80, interval: TIMEOUT };
        let body = br#"[
            {"Id":"1","Image":"web:1","Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":49153,"Type":"tcp"},
                {"IP":"::","PrivatePort":80,"PublicPort":49153,"Type":"tcp"},{"PrivatePort":443,"PublicPort":49154,"Type":"tcp"}],"Labels":{"a":"b"}},
            {"Image":"web","Ports":[{"PrivatePort":80,"Type":"tcp"},{"PrivatePort":80,"PublicPort":5,"Type":"udp"}],"Labels":null},
            {"Image":"other","Ports":[{"PrivatePort":80,"PublicPort":6,"Type":"tcp"}]},
            {"Image":"web:2","Ports":null}]"#;
        let want = Backend {
            name: "d".into(),
            host: "10.0.0.1".into(),
            port: 49153,
            labels: [("a".into(), "b".into())].into(),
            ..Backend::default()
        };
        assert_eq!(backends(body, &server, &watch), Ok(vec![want]));
        assert_eq!(backends(b"[]", &server, &watch), Ok(Vec::new()));
        for bad in ["", "{}", "null", "[{\"Ports\":[{\"PrivatePort\":70000}]}]", "[1"] {
            assert!(backends(bad.as_bytes(), &server, &watch).is_err(), "{bad}");
        }
    }
}
