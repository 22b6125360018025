//! `labels add` and `labels del`: changes labels of the daemon's own server at run time.

use lobby::client::Client;

use crate::{cli::LabelChange, output::Output};

pub(crate) async fn run(client: &Client, change: &LabelChange, out: Output) -> anyhow::Result<()> {
    match change {
        LabelChange::Add { labels } => client.add_labels(labels).await?,
        LabelChange::Del { labels } => client.remove_labels(labels).await?,
    }
    out.done("OK")
}
