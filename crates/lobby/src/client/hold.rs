//! A registration that lasts as long as a connection: whoever holds it may die in any way, and is gone from the list.
//!
//! ```text
//! POST /v1/hold    200 once it is registered, then a sign of life every ten seconds
//! ```
//! Not here: registrations that outlive their program (`registration`).

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::{task::JoinHandle, time::timeout};

use super::{Client, ClientError, TIMEOUT};

/// A holding that is silent for so long is over: three signs of life were missed.
const SILENCE: Duration = Duration::from_secs(30);

/// The longest that an answer may last, which reqwest wants to know: years, so that nobody sees its end.
const LASTING: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// An instance that is registered for as long as this value lives. Dropping it deregisters the instance.
#[derive(Debug)]
#[must_use = "dropping it deregisters the instance"]
pub struct Holding {
    /// Takes in the signs of life, whether anybody waits for the end or not: one that nobody takes in would fill the
    /// connection in the course of days. Owns the connection.
    task: JoinHandle<()>,
}

impl Client {
    /// `POST /v1/hold`: registers an instance for as long as the value that this returns lives. The definition is that of
    /// [`Client::register`], with `Name` and, unless the name is good enough, `ID`.
    ///
    /// ```no_run
    /// # async fn demo() -> Result<(), lobby::client::ClientError> {
    /// # let client = lobby::client::Client::new("http://127.0.0.1:1313")?;
    /// let mut holding = client.hold(&serde_json::json!({"Name": "web", "Port": 8080})).await?;
    /// holding.ended().await;
    /// println!("the daemon has stopped; hold again");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the definition is not accepted (400, 413), or a label makes the instance (409).
    pub async fn hold(&self, definition: &Value) -> Result<Holding, ClientError> {
        let opening = self.open(Method::POST, self.route(&["v1", "hold"]), definition.to_string().into(), LASTING);
        let mut response = match timeout(TIMEOUT, opening).await {
            Ok(response) => response?,
            Err(late) => return Err(ClientError::NotReachable { url: self.shown.clone(), source: Box::new(late) }),
        };
        let lasts = async move { while let Ok(Ok(Some(_))) = timeout(SILENCE, response.chunk()).await {} };
        Ok(Holding { task: tokio::spawn(lasts) })
    }
}

impl Holding {
    /// Waits until the daemon ends it: it stops, dies, or is silent for half a minute. The instance is registered no more
    /// then, and nothing brings it back but holding again. Dropping the future loses nothing.
    pub async fn ended(&mut self) {
        if !self.task.is_finished() {
            // It neither panics nor is cancelled while this value lives.
            let _ = (&mut self.task).await;
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.task.abort();
    }
}
