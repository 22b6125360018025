//! `resolve LABEL`: the names of the servers that carry exactly this label, one a line.

use lobby::client::{Client, Label};

use crate::output::{Output, plain};

pub(crate) async fn run(client: &Client, label: &Label, out: Output) -> anyhow::Result<()> {
    let names = client.resolve(label.as_str()).await?.value;
    out.value(&names, |names| names.iter().map(|name| vec![plain(name)]).collect())
}
