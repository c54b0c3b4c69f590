//! The bucket: object_store's own, in memory, under the script.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use shared::archive::{self, Record};
use shared::ports::{Cause, SignLinks, SignedLink};
use shared::sweep::OutcomeRow;

use crate::script::{Fault, Script};

/// A bucket in memory.
#[derive(Debug, Clone, Default)]
pub struct FakeBucket {
    inner: std::sync::Arc<InMemory>,
    script: Script,
}

impl FakeBucket {
    /// An empty bucket.
    pub fn new(script: Script) -> Self {
        Self { inner: std::sync::Arc::default(), script }
    }

    /// The same bucket, as one invocation reaches it.
    #[must_use]
    pub fn of(&self, by: u32) -> Self {
        Self { inner: std::sync::Arc::clone(&self.inner), script: self.script.of(by) }
    }

    /// The same bucket, for looking at it without a call.
    #[must_use]
    pub fn unscripted(&self) -> Self {
        Self { inner: std::sync::Arc::clone(&self.inner), script: Script::default() }
    }

    /// The keys below a prefix, without a call.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let listed: Vec<ObjectMeta> =
            self.inner.list(Some(&Path::from(prefix))).try_collect().await.unwrap_or_default();
        listed.into_iter().map(|meta| meta.location.to_string()).collect()
    }

    /// Every record of the archive, without a call.
    pub async fn archive(&self) -> Vec<Record> {
        self.archive_objects().await.into_values().flatten().collect()
    }

    /// The records of the archive by their object, without a call.
    pub async fn archive_objects(&self) -> BTreeMap<String, Vec<Record>> {
        let mut objects = BTreeMap::new();
        for key in self.keys("archive").await {
            let records = archive::read(&*self.inner, &key).await.unwrap_or_default();
            objects.insert(key, records);
        }
        objects
    }

    /// What came of what a sweep acted on, by its folder, without a call.
    pub async fn outcomes(&self, prefix: &str) -> Vec<OutcomeRow> {
        let mut rows = Vec::new();
        for key in self.keys(prefix).await {
            rows.extend(archive::read::<OutcomeRow>(&*self.inner, &key).await.unwrap_or_default());
        }
        rows
    }

    /// What an object holds, without a call. Nothing if it is not there.
    pub async fn bytes(&self, key: &str) -> Vec<u8> {
        let Ok(found) = self.inner.get(&Path::from(key)).await else { return Vec::new() };
        found.bytes().await.map(Vec::from).unwrap_or_default()
    }

    /// Places an object, without a call.
    pub async fn place(&self, key: &str, bytes: Vec<u8>) {
        let placed = self.inner.put(&Path::from(key), bytes.into()).await;
        assert!(placed.is_ok(), "{placed:?}");
    }

    fn lost() -> Error {
        Error::Generic { store: "fake", source: "the answer was lost".into() }
    }
}

impl fmt::Display for FakeBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fake bucket")
    }
}

impl SignLinks for FakeBucket {
    async fn sign(&self, object: &Path, works_for: Duration) -> std::result::Result<SignedLink, Cause> {
        match self.script.begin("sign", object.as_ref()).await {
            None => Ok(SignedLink::new(format!(
                "https://bucket.test/{object}?signed-for={}",
                works_for.as_secs()
            ))),
            Some(_) => Err(Self::lost().into()),
        }
    }
}

#[async_trait]
impl ObjectStore for FakeBucket {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        match self.script.begin("put", location.as_ref()).await {
            None => {
                let put = self.inner.put_opts(location, payload, opts).await;
                self.script.end().await;
                put
            }
            Some(Fault::Conflicts) => {
                let mode = opts.mode.clone();
                let put = self.inner.put_opts(location, payload, opts).await?;
                let (path, source) = (location.to_string(), "the condition does not hold".into());
                match mode {
                    PutMode::Overwrite => Ok(put),
                    PutMode::Create => Err(Error::AlreadyExists { path, source }),
                    PutMode::Update(_) => Err(Error::Precondition { path, source }),
                }
            }
            Some(Fault::LostAfter) => {
                self.inner.put_opts(location, payload, opts).await?;
                Err(Self::lost())
            }
            Some(_) => Err(Self::lost()),
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.script.begin("get", location.as_ref()).await {
            None => self.inner.get_opts(location, options).await,
            Some(_) => Err(Self::lost()),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        match self.script.begin("list", prefix.map(Path::as_ref).unwrap_or_default()).await {
            None => self.inner.list_with_delimiter(prefix).await,
            Some(_) => Err(Self::lost()),
        }
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented { operation: "put_multipart".into(), implementer: "fake".into() })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
