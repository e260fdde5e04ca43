//! A backend whose sandboxes are pipes with scripted drivers, made when a test lets them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cellgate::id::SessionId;
use cellgate::sandbox::{
    Backend, BackendKind, EndCause, EnforcementState, LanguageFound, Protection, Sandbox,
    SandboxError, SandboxSpec,
};
use cellgate::template::Template;
use cellgate_driver::wire::{self, Setup, kind};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::AsyncReadExt;
use tokio::sync::{Semaphore, watch};

use super::scripted::{Ended, FakeHandle, ScriptedDriver};

/// What a test knows of a sandbox.
struct Made {
    id: SessionId,
    ended: Ended,
    mood: watch::Sender<Mood>,
}

/// What a driver does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    /// Answers pings, and takes cells that never end.
    Well,
    /// Says nothing and keeps the link.
    Frozen,
    /// Gone.
    Dead,
}

/// The backend. `gate` has a permit for each sandbox that may be made.
pub(crate) struct FakeBackend {
    pub(crate) gate: Semaphore,
    /// Creations begun, finished or not.
    begun: watch::Sender<usize>,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    failing: AtomicBool,
    checks: AtomicUsize,
    made: Mutex<Vec<Made>>,
    moments: Mutex<HashMap<usize, tokio::time::Instant>>,
}

impl FakeBackend {
    /// One that makes whatever is wanted at once.
    pub(crate) fn open() -> Arc<FakeBackend> {
        FakeBackend::gated(Semaphore::MAX_PERMITS)
    }

    /// One that makes `permits` sandboxes, and more when the gate gets more.
    pub(crate) fn gated(permits: usize) -> Arc<FakeBackend> {
        Arc::new(FakeBackend {
            gate: Semaphore::new(permits),
            begun: watch::Sender::new(0),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            checks: AtomicUsize::new(0),
            made: Mutex::default(),
            moments: Mutex::default(),
        })
    }

    /// Whether attempts fail from now on.
    pub(crate) fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    /// How often it was asked whether a sandbox can be made.
    pub(crate) fn checks(&self) -> usize {
        self.checks.load(Ordering::SeqCst)
    }

    /// How many creations were begun.
    pub(crate) fn begun(&self) -> usize {
        *self.begun.borrow()
    }

    /// Waits until this many were begun; answers when the last of them was.
    pub(crate) async fn until_begun(&self, count: usize) -> tokio::time::Instant {
        self.begun.subscribe().wait_for(|begun| *begun >= count).await.unwrap();
        self.moments.lock().unwrap()[&count]
    }

    /// Most creations that were under way at one time.
    pub(crate) fn most_under_way(&self) -> usize {
        self.most_under_way.load(Ordering::SeqCst)
    }

    /// Creations under way.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }

    /// Sandboxes that live.
    pub(crate) fn live(&self) -> usize {
        let made = self.made.lock().unwrap();
        made.iter().filter(|made| !made.ended.load(Ordering::SeqCst)).count()
    }

    /// Ids of all there ever were, in the order of their making.
    pub(crate) fn ids(&self) -> Vec<SessionId> {
        self.made.lock().unwrap().iter().map(|made| made.id.clone()).collect()
    }

    /// Closes a sandbox's link.
    pub(crate) fn kill(&self, id: &SessionId) {
        self.set(id, Mood::Dead);
    }

    /// Lets a driver fall silent.
    pub(crate) fn freeze(&self, id: &SessionId) {
        self.set(id, Mood::Frozen);
    }

    fn set(&self, id: &SessionId, mood: Mood) {
        let made = self.made.lock().unwrap();
        made.iter().find(|made| made.id == *id).unwrap().mood.send(mood).unwrap();
    }

    async fn make(&self, spec: &SandboxSpec) -> Result<Sandbox, SandboxError> {
        struct UnderWay<'a>(&'a AtomicUsize);
        impl Drop for UnderWay<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        let _guard = UnderWay(&self.under_way);
        self.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        self.begun.send_modify(|begun| {
            *begun += 1;
            self.moments.lock().unwrap().insert(*begun, tokio::time::Instant::now());
        });
        self.gate.acquire().await.unwrap().forget();
        if self.failing.load(Ordering::SeqCst) {
            return Err(SandboxError::Unsupported("the test says no".into()));
        }
        let (ours, theirs) = tokio::io::duplex(4 << 10);
        let (mood, moods) = watch::channel(Mood::Well);
        let ended = Ended::default();
        let id = spec.session.clone();
        self.made.lock().unwrap().push(Made { id, ended: Arc::clone(&ended), mood });
        // Ends with the link, or when the test lets it die.
        tokio::spawn(drive(ScriptedDriver { stream: theirs }, moods));
        let handle = Box::new(FakeHandle { cause: EndCause::Unknown, ended });
        let startable = Arc::default();
        Ok(Sandbox { link: Box::new(ours), setup: Setup::default(), startable, handle })
    }
}

async fn drive(mut driver: ScriptedDriver, mut moods: watch::Receiver<Mood>) {
    tokio::select! {
        () = answer(&mut driver) => return,
        // A test that has ended wants nothing any more.
        _ = async { moods.wait_for(|mood| *mood != Mood::Well).await.ok(); } => {}
    }
    if *moods.borrow() == Mood::Frozen {
        moods.wait_for(|mood| *mood == Mood::Dead).await.ok();
    }
}

/// What a healthy driver says, until its link closes. Its cells never end.
async fn answer(driver: &mut ScriptedDriver) {
    driver.send(kind::HELLO, 0, 0, &wire::VERSION.to_le_bytes()).await;
    driver.receive().await;
    let ready = br#"{"language":{"name":"python","version":"3.11.2"}}"#;
    driver.send(kind::READY, 0, 0, ready).await;
    let mut header = [0; wire::HEADER_BYTES];
    while driver.stream.read_exact(&mut header).await.is_ok() {
        let header = wire::Header::decode(&header).unwrap();
        let mut payload = vec![0; header.length as usize];
        driver.stream.read_exact(&mut payload).await.unwrap();
        match header.kind {
            kind::PING => driver.send(kind::PONG, 0, 0, b"").await,
            kind::EXECUTE => {} // and never ends
            other => panic!("a frame of kind {other:#04x}"),
        }
    }
}

impl Backend for FakeBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Local
    }

    fn create<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<Sandbox, SandboxError>> {
        self.make(spec).boxed()
    }

    fn check_template<'a>(&'a self, _: &'a Template) -> BoxFuture<'a, Result<(), SandboxError>> {
        std::future::ready(Ok(())).boxed()
    }

    fn languages<'a>(&'a self, _: &'a Template) -> BoxFuture<'a, Vec<LanguageFound>> {
        futures::future::ready(Vec::new()).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SandboxError>> {
        async {
            self.checks.fetch_add(1, Ordering::SeqCst);
            // As long as a sandbox takes to be made.
            let long = std::time::Duration::from_millis(50);
            tokio::time::timeout(long, std::future::pending::<()>()).await.ok();
            match self.failing.load(Ordering::SeqCst) {
                true => Err(SandboxError::Unsupported("the test says no".into())),
                false => Ok(()),
            }
        }
        .boxed()
    }

    fn protection(&self, _: Protection) -> Option<EnforcementState> {
        None
    }

    fn sweep(&self) -> BoxFuture<'_, Result<usize, SandboxError>> {
        std::future::ready(Ok(0)).boxed()
    }

    fn drained(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}
