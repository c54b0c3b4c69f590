//! A bucket that keeps next to nothing, where the memory or the instructions of a sweep are measured.

#![expect(clippy::unwrap_used, reason = "what measures may fail loudly")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

/// A bucket that takes the archive and the outcomes without keeping them. What grows with the number of jobs lies in
/// files; the state needs conditional writes and is kept in memory. It has no threads: their stacks and heaps would
/// be measured too.
#[derive(Debug)]
pub struct PassingBucket {
    states: InMemory,
    folder: PathBuf,
}

impl PassingBucket {
    /// An empty one.
    pub fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("jobwarden-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self { states: InMemory::new(), folder }
    }

    /// Where an object lies that is not kept in memory.
    fn file(&self, key: &Path) -> Option<PathBuf> {
        (key.filename() != Some("state.json")).then(|| self.folder.join(key.as_ref()))
    }
}

impl Default for PassingBucket {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for PassingBucket {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl std::fmt::Display for PassingBucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bucket")
    }
}

#[async_trait]
impl ObjectStore for PassingBucket {
    async fn put_opts(
        &self,
        to: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let Some(file) = self.file(to) else { return self.states.put_opts(to, payload, options).await };
        if to.as_ref().starts_with("sweeps/") {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, payload.iter().flatten().copied().collect::<Vec<_>>()).unwrap();
        }
        self.states.put(&Path::from("elsewhere"), PutPayload::new()).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        match self.file(from).map(std::fs::read) {
            Some(Ok(bytes)) => {
                let read = InMemory::new();
                read.put(from, bytes.into()).await?;
                read.get_opts(from, options).await
            }
            // What is not there is in neither.
            Some(Err(_)) | None => self.states.get_opts(from, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.states.put_multipart_opts(to, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.states.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.states.list(prefix)
    }

    /// What lies in a folder, without those within it.
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let found = std::fs::read_dir(self.folder.join(prefix.as_ref())).into_iter().flatten();
        let objects = found.filter_map(|entry| {
            let entry = entry.unwrap();
            let (name, meta) = (entry.file_name(), entry.metadata().unwrap());
            meta.is_file().then(|| ObjectMeta {
                location: prefix.clone().join(name.to_str().unwrap()),
                last_modified: Default::default(),
                size: meta.len(),
                e_tag: None,
                version: None,
            })
        });
        Ok(ListResult {
            common_prefixes: Vec::new(),
            objects: objects.collect(),
            extensions: Default::default(),
        })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.states.copy_opts(from, to, options).await
    }
}
