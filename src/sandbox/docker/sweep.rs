//! Removing what gateways that are no more left on the engine.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder};
use futures::{StreamExt, stream};

use super::container::label;
use super::engine::{QUICK, SLOW, call};
use super::instance::Instance;
use super::reaper::Known;
use super::{Shared, volume};
use crate::sandbox::SandboxError;

/// Removals at a time: enough to be quick after a crash, few enough to leave the engine usable.
const AT_ONCE: usize = 8;

/// Removes containers, volumes and directories of the dead; answers how many containers.
pub(super) async fn sweep(shared: &Shared) -> Result<usize, SandboxError> {
    let client = &shared.engine.client;
    let filters = HashMap::from([("label", vec![label::INSTANCE])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let listing = client.list_containers(Some(options));
    let containers = call("list containers left behind", SLOW, listing).await?;
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let listing = client.list_volumes(Some(options));
    let volumes = call("list volumes left behind", SLOW, listing).await?;

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let abandoned = |labels: &HashMap<String, String>| is_abandoned(labels, &shared.instance, now);
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
            // A volume's carrier goes too but is nobody's sandbox.
            shared.reaper.remove(&id, Known::Made).await && sandbox
        })
        .buffer_unordered(AT_ONCE)
        .filter(|counted| std::future::ready(*counted))
        .count()
        .await;

    for volume in volumes.volumes.unwrap_or_default() {
        if abandoned(&volume.labels)
            && let Err(error) = volume::remove(&shared.engine, &volume.name).await
        {
            tracing::warn!(volume = volume.name, error, "a volume stays for the next sweep");
        }
    }
    clear_directories(shared);
    Ok(removed)
}

/// Removes sandboxes of this gateway whose handles are gone and that should be too: an engine that
/// was killed and came back may know a container again whose removal it has confirmed.
pub(super) async fn own(shared: &Shared) {
    let ours = format!("{}={}", label::INSTANCE, shared.instance.id);
    let filters = HashMap::from([("label", vec![ours.as_str(), label::SESSION])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let listing = shared.engine.client.list_containers(Some(options));
    let is_held = |names: &Option<Vec<String>>| {
        let mut names = names.iter().flatten();
        names.any(|name| shared.fates.is_watched(name.trim_start_matches('/')))
    };
    match call("list containers of our own", QUICK, listing).await {
        Ok(containers) => {
            let left = containers.into_iter().filter(|container| !is_held(&container.names));
            for id in left.filter_map(|container| container.id) {
                tracing::warn!(container = id, "a container that was removed is still there");
                shared.reaper.remove(&id, Known::Made).await;
            }
        }
        // An engine that is gone is no news here.
        Err(error) => tracing::debug!(%error, "cannot look for containers of our own"),
    }
}

fn clear_directories(shared: &Shared) {
    // Last: while a directory is there, so is what tells that its owner is dead.
    if let Err(error) = shared.instance.clear_dead() {
        tracing::warn!(%error, "directories of gateways that are no more stay for the next sweep");
    }
}

/// Whether whoever made this is dead, as far as can be known from here.
fn is_abandoned(labels: &HashMap<String, String>, instance: &Instance, now: u64) -> bool {
    let Some(owner) = labels.get(label::INSTANCE) else { return false };
    if labels.get(label::REALM) == Some(&instance.realm) {
        return !instance.lives(owner);
    }
    // Somebody else's; not even its death can be seen from here. Without a date it is not ours.
    let expires = labels.get(label::EXPIRES).and_then(|expires| expires.parse::<u64>().ok());
    expires.is_some_and(|expires| expires < now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::docker::instance::random_name;

    #[test]
    fn only_the_dead_and_the_expired_are_abandoned() {
        let root = tempfile::tempdir().unwrap();
        let us = Instance::create(root.path(), false).unwrap();
        let neighbour = Instance::create(root.path(), false).unwrap();
        let dead = random_name().unwrap();
        let labels = |instance: &str, realm: &str, expires: &str| {
            HashMap::from([
                (label::INSTANCE.to_owned(), instance.to_owned()),
                (label::REALM.to_owned(), realm.to_owned()),
                (label::EXPIRES.to_owned(), expires.to_owned()),
            ])
        };
        for (labels, expected) in [
            (labels(&us.id, &us.realm, "1"), false),
            (labels(&neighbour.id, &us.realm, "1"), false),
            (labels(&dead, &us.realm, "999"), true),
            (labels(&dead, "elsewhere", "999"), false),
            (labels(&dead, "elsewhere", "99"), true),
            (labels(&dead, "elsewhere", "soon"), false),
            (HashMap::new(), false),
        ] {
            assert_eq!(is_abandoned(&labels, &us, 100), expected, "{labels:?}");
        }
    }
}
