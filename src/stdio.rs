//! `cellgate mcp`: the door for agents on standard input and output, for the program that starts it. Its
//! sessions end with it.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::config::{Config, DEFAULT_TEMPLATE};
use crate::mcp::Door;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::sandbox::Backend;

/// Serves until standard input ends or `stop` is cancelled, and ends all sessions.
pub async fn serve(
    config: Config,
    backend: Arc<dyn Backend>,
    stop: CancellationToken,
) -> Result<()> {
    if std::io::stdin().is_terminal() {
        tracing::warn!(
            "an agent's program starts this and speaks the Model Context Protocol to it; docs/agents.md says \
             what to paste into which"
        );
    }
    let offer = config.offer(&*backend);
    let registry_config = config.registry();
    let registry = Registry::new(backend, config.templates, registry_config, Metrics::default());
    // Who started this process may do everything in it.
    let default_template = DEFAULT_TEMPLATE.to_owned();
    let admission = Admission::new(Arc::clone(&registry), Vec::new(), Vec::new(), default_template);
    let served = Door::new(Arc::new(admission), offer).serve_stdio(stop).await;
    registry.shutdown(Duration::ZERO).await;
    Ok(served?)
}
