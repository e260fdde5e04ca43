//! Removes what gateways that have ended left on the engine.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder};
use futures::{StreamExt, stream};

use super::container::label;
use super::engine::{QUICK_TIMEOUT, SLOW_TIMEOUT, call};
use super::instance::Instance;
use super::removal::Creation;
use super::{Context, volume};
use crate::sandbox::SandboxError;

/// Removals at a time: enough to be quick after a crash, few enough to leave the engine usable.
const AT_ONCE: usize = 8;

/// Removes containers, volumes and directories of gateways that have ended. Returns how many
/// sandboxes were removed.
pub(super) async fn sweep(context: &Context) -> Result<usize, SandboxError> {
    let client = &context.engine.client;
    let filters = HashMap::from([("label", vec![label::INSTANCE])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let listing = client.list_containers(Some(options));
    let containers = call("list containers left behind", SLOW_TIMEOUT, listing).await?;
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let listing = client.list_volumes(Some(options));
    let volumes = call("list volumes left behind", SLOW_TIMEOUT, listing).await?;

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let abandoned = |labels: &HashMap<String, String>| is_abandoned(labels, &context.instance, now);
    let dead: Vec<(String, bool)> = containers
        .into_iter()
        .filter(|container| container.labels.as_ref().is_some_and(&abandoned))
        .filter_map(|container| {
            let sandbox =
                container.labels.as_ref().is_some_and(|labels| labels.contains_key(label::SESSION));
            container.id.map(|id| (id, sandbox))
        })
        .collect();
    let removed = stream::iter(dead)
        .map(|(id, sandbox)| async move {
            // The container that filled a volume is removed too, and is not a sandbox.
            context.remover.remove(&id, Creation::Confirmed).await && sandbox
        })
        .buffer_unordered(AT_ONCE)
        .filter(|counted| std::future::ready(*counted))
        .count()
        .await;

    for volume in volumes.volumes.unwrap_or_default() {
        if abandoned(&volume.labels)
            && let Err(error) = volume::remove(&context.engine, &volume.name).await
        {
            tracing::warn!(volume = volume.name, error, "a volume stays for the next sweep");
        }
    }
    clear_directories(context);
    Ok(removed)
}

/// Removes containers of this gateway that have no handle any more: an engine that was killed and
/// restarted may list a container again whose removal it had confirmed.
pub(super) async fn own(context: &Context) {
    let ours = format!("{}={}", label::INSTANCE, context.instance.id);
    let filters = HashMap::from([("label", vec![ours.as_str(), label::SESSION])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let listing = context.engine.client.list_containers(Some(options));
    let is_held = |names: &Option<Vec<String>>| {
        let mut names = names.iter().flatten();
        names.any(|name| context.exits.is_watched(name.trim_start_matches('/')))
    };
    match call("list containers of our own", QUICK_TIMEOUT, listing).await {
        Ok(containers) => {
            let left = containers.into_iter().filter(|container| !is_held(&container.names));
            for id in left.filter_map(|container| container.id) {
                tracing::warn!(container = id, "a container that was removed is still there");
                context.remover.remove(&id, Creation::Confirmed).await;
            }
        }
        // Other calls report an engine that is gone.
        Err(error) => tracing::debug!(%error, "cannot look for containers of our own"),
    }
}

fn clear_directories(context: &Context) {
    // Last: the lock files tell which gateways have ended, so they must outlive the containers.
    if let Err(error) = context.instance.remove_dead() {
        tracing::warn!(%error, "directories of ended gateways stay for the next sweep");
    }
}

/// Whether the gateway that made an object with these labels has ended, as far as it can be known
/// from this machine.
fn is_abandoned(labels: &HashMap<String, String>, instance: &Instance, now: u64) -> bool {
    let Some(owner) = labels.get(label::INSTANCE) else { return false };
    if labels.get(label::RUNTIME_DIR_ID) == Some(&instance.directory_id) {
        return !instance.is_alive(owner);
    }
    // Made with another runtime directory, whose locks cannot be tested from here. An object
    // without an expiry was not made by cellgate.
    let expires = labels.get(label::EXPIRES).and_then(|expires| expires.parse::<u64>().ok());
    expires.is_some_and(|expires| expires < now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::docker::instance::random_name;

    #[test]
    fn objects_of_ended_gateways_and_expired_ones_are_abandoned() {
        let root = tempfile::tempdir().unwrap();
        let us = Instance::create(root.path(), false).unwrap();
        let neighbour = Instance::create(root.path(), false).unwrap();
        let dead = random_name().unwrap();
        let labels = |instance: &str, directory_id: &str, expires: &str| {
            HashMap::from([
                (label::INSTANCE.to_owned(), instance.to_owned()),
                (label::RUNTIME_DIR_ID.to_owned(), directory_id.to_owned()),
                (label::EXPIRES.to_owned(), expires.to_owned()),
            ])
        };
        for (labels, expected) in [
            (labels(&us.id, &us.directory_id, "1"), false),
            (labels(&neighbour.id, &us.directory_id, "1"), false),
            (labels(&dead, &us.directory_id, "999"), true),
            (labels(&dead, "elsewhere", "999"), false),
            (labels(&dead, "elsewhere", "99"), true),
            (labels(&dead, "elsewhere", "soon"), false),
            (HashMap::new(), false),
        ] {
            assert_eq!(is_abandoned(&labels, &us, 100), expected, "{labels:?}");
        }
    }
}
