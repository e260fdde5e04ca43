//! The driver in a volume of the engine, for engines that cannot see our files.
//!
//! ```text
//! create volume ─► create a container with it, never started ─► PUT the archive ─► remove the container
//! ```
//! A volume belongs to one gateway and is filled before the first sandbox mounts it read-only, so
//! no sandbox sees a half-written driver. The sandboxes that use it are counted: when the gateway
//! drains and the count is zero, the volume is removed. The next sweep removes that of a killed
//! gateway.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::models::{ContainerCreateBody, HostConfig, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveVolumeOptionsBuilder, UploadToContainerOptionsBuilder,
};
use tokio::sync::OnceCell;

use super::container::{DRIVER_NAME, volume};
use super::engine::{Engine, QUICK_TIMEOUT, SLOW_TIMEOUT, call};
use super::removal::{Creation, Remover};
use crate::sandbox::SandboxError;
use crate::sandbox::common::embedded;

/// The driver's volume, made when first needed.
#[derive(Debug, Default)]
pub(super) struct DriverVolume {
    state: Arc<Mutex<State>>,
}

/// Held for a few instructions, never across an await.
#[derive(Debug, Default)]
struct State {
    users: usize,
    /// Counts volumes, so that one being removed and one being made never share a name.
    generation: u32,
    made: Arc<OnceCell<String>>,
}

/// Keeps the volume while its sandbox lives.
#[derive(Debug)]
pub(super) struct VolumeUse {
    /// The volume's name.
    pub(super) name: String,
    _count: UseCount,
}

/// Counts one use of the volume until it is dropped.
#[derive(Debug)]
struct UseCount(Arc<Mutex<State>>);

impl Drop for UseCount {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).users -= 1;
    }
}

impl DriverVolume {
    /// The volume with the driver in it. `image` is any image that is there; nothing of it runs.
    pub(super) async fn get(
        &self,
        engine: &Engine,
        remover: &Remover,
        instance: &str,
        image: &str,
        labels: &HashMap<String, String>,
    ) -> Result<VolumeUse, SandboxError> {
        let (made, name, count) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.users += 1;
            let name = format!("cellgate-{instance}-driver-{}", state.generation);
            (state.made.clone(), name, UseCount(self.state.clone()))
        };
        let name = made
            .get_or_try_init(|| async {
                fill(engine, remover, &name, image, labels).await.map(|()| name.clone())
            })
            .await?
            .clone();
        Ok(VolumeUse { name, _count: count })
    }

    /// Removes the volume if no sandbox uses it.
    pub(super) async fn release(&self, engine: &Engine) {
        let name = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.users > 0 || state.made.get().is_none() {
                return;
            }
            state.generation += 1;
            std::mem::take(&mut state.made).get().cloned()
        };
        if let Some(name) = name
            && let Err(error) = remove(engine, &name).await
        {
            tracing::warn!(volume = name, error, "a volume stays for the next sweep");
        }
    }
}

/// Removes a volume; one that is not there counts as removed.
pub(super) async fn remove(engine: &Engine, name: &str) -> Result<(), String> {
    let options = RemoveVolumeOptionsBuilder::default().force(true).build();
    let removal = engine.client.remove_volume(name, Some(options));
    match call(format!("remove volume {name}"), SLOW_TIMEOUT, removal).await {
        Err(error) if error.status() != Some(404) => Err(error.to_string()),
        _ => Ok(()),
    }
}

async fn fill(
    engine: &Engine,
    remover: &Remover,
    name: &str,
    image: &str,
    labels: &HashMap<String, String>,
) -> Result<(), SandboxError> {
    let request = VolumeCreateRequest {
        name: Some(name.to_owned()),
        labels: Some(labels.clone()),
        ..Default::default()
    };
    call(format!("create volume {name}"), SLOW_TIMEOUT, engine.client.create_volume(request))
        .await?;
    let carrier = format!("{name}-carrier");
    let options = CreateContainerOptionsBuilder::default().name(&carrier).build();
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        // Never run; the engine requires one.
        entrypoint: Some(vec!["/nothing".to_owned()]),
        labels: Some(labels.clone()),
        network_disabled: Some(true),
        host_config: Some(HostConfig {
            mounts: Some(vec![volume(name, false)]),
            network_mode: Some("none".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let carry = engine.client.create_container(Some(options), body);
    let filled = match call(format!("create container {carrier}"), SLOW_TIMEOUT, carry).await {
        Ok(_) => upload(engine, &carrier).await,
        Err(error) => Err(error.into()),
    };
    let creation = if filled.is_ok() { Creation::Confirmed } else { Creation::Unanswered };
    remover.begin_removal(carrier, creation);
    filled
}

async fn upload(engine: &Engine, carrier: &str) -> Result<(), SandboxError> {
    let archive = archive().map_err(|cause| SandboxError::Step {
        operation: "pack the driver".into(),
        cause: cause.into(),
    })?;
    let target = super::container::volume("", false).target.unwrap_or_default();
    let options = UploadToContainerOptionsBuilder::default().path(&target).build();
    let body = bollard::body_full(archive.into());
    let upload = engine.client.upload_to_container(carrier, Some(options), body);
    Ok(call("put the driver into its volume", SLOW_TIMEOUT + QUICK_TIMEOUT, upload).await?)
}

fn archive() -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_size(embedded::DRIVER.len() as u64);
    header.set_mode(0o555);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, DRIVER_NAME, embedded::DRIVER)?;
    archive.into_inner()
}
