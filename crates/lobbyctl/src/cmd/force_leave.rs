//! `force-leave NODE`: makes everybody forget a failed node; a newer start of it undoes that.

use lobby::client::Client;

use crate::output::Output;

pub(crate) async fn run(client: &Client, node: &str, prune: bool, out: Output) -> anyhow::Result<()> {
    client.force_leave(node, prune).await?;
    out.done(&format!("{node} has left"))
}
