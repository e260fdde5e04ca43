//! Looks images up: whether they exist, their id and their environment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::ImageInspect;
use dashmap::DashMap;
use tokio::time::Instant;

use super::engine::{CallError, Engine, QUICK_TIMEOUT, call};
use crate::sandbox::SandboxError;
use crate::template::Template;

/// How long an answer is reused, because a look-up costs a round trip before every sandbox. An
/// image that is rebuilt under the same name takes effect within this time.
const CACHE_TIME: Duration = Duration::from_secs(30);

/// An image as it was when the engine was asked.
#[derive(Debug)]
pub(super) struct Image {
    /// The id of its content. Sandboxes are made from the id, so that `env` is that of their image.
    pub(super) id: String,
    /// Its environment, `NAME=value` each.
    pub(super) env: Vec<String>,
}

/// Images that were looked up, by the name that templates use.
#[derive(Debug, Default)]
pub(super) struct Images {
    known: DashMap<String, (Instant, Arc<Image>)>,
}

impl Images {
    /// The image of `template`.
    pub(super) async fn get(
        &self,
        engine: &Engine,
        template: &Template,
    ) -> Result<Arc<Image>, SandboxError> {
        if let Some(entry) = self.known.get(&template.image)
            && entry.0.elapsed() < CACHE_TIME
        {
            return Ok(entry.1.clone());
        }
        match inspect(engine, &template.image).await {
            Ok(image) => {
                let image = Arc::new(read(image, &template.image));
                self.known.insert(template.image.clone(), (Instant::now(), image.clone()));
                Ok(image)
            }
            Err(error) if error.status() == Some(404) => {
                self.known.remove(&template.image);
                Err(missing(&template.name, &template.image))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets an image that turned out to be gone.
    pub(super) fn forget(&self, image: &str) {
        self.known.remove(image);
    }

    /// Whether every image of `wanted`, and every one used so far, is there.
    pub(super) async fn check(
        &self,
        engine: &Engine,
        wanted: &[String],
    ) -> Result<(), SandboxError> {
        let mut names: BTreeSet<String> = wanted.iter().cloned().collect();
        names.extend(self.known.iter().map(|entry| entry.key().clone()));
        for name in names {
            match inspect(engine, &name).await {
                Ok(_) => {}
                Err(error) if error.status() == Some(404) => {
                    let what = advice(&name);
                    return Err(SandboxError::Setting { setting: "image", what });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

async fn inspect(engine: &Engine, name: &str) -> Result<ImageInspect, CallError> {
    call(format!("look up image {name}"), QUICK_TIMEOUT, engine.client.inspect_image(name)).await
}

fn read(image: ImageInspect, name: &str) -> Image {
    let env = image.config.and_then(|config| config.env).unwrap_or_default();
    Image { id: image.id.unwrap_or_else(|| name.to_owned()), env }
}

fn missing(template: &str, image: &str) -> SandboxError {
    let (template, what) = (template.to_owned(), advice(image));
    SandboxError::Template { template, setting: "image", what }
}

fn advice(image: &str) -> String {
    format!(
        "the docker engine has no image {image}: build it with \"docker build --target python -t \
         {image} .\" in cellgate's sources, fetch yours with \"docker pull {image}\", or name another with --image"
    )
}
