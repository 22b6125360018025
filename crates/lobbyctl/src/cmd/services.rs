//! `services`: what is offered, by how many, and how they are.

use lobby::client::{Client, Service};

use crate::output::{Cell, Output, Tone, heading, plain};

pub(crate) async fn run(client: &Client, selector: Option<&str>, out: Output) -> anyhow::Result<()> {
    let services = client.services(selector).await?.value;
    out.value(&services, |services| table(services))
}

fn table(services: &[Service]) -> Vec<Vec<Cell>> {
    let head = heading(&["NAME", "INSTANCES", "PASSING", "WARNING", "CRITICAL", "DRAINING", "TAGS"]);
    std::iter::once(head).chain(services.iter().map(row)).collect()
}

fn row(service: &Service) -> Vec<Cell> {
    let toned = |tone, number: u64| Cell(if number == 0 { Tone::Plain } else { tone }, number.to_string());
    vec![
        plain(&service.name),
        plain(service.instances.to_string()),
        toned(Tone::Good, service.passing),
        toned(Tone::Doubtful, service.warning),
        toned(Tone::Bad, service.critical),
        toned(Tone::Doubtful, service.draining),
        plain(service.tags.join("  ")),
    ]
}
