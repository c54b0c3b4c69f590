//! A bucket that keeps next to nothing.

use std::path::PathBuf;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

/// A bucket that takes the archive and the outcomes without keeping them. What grows with the number of jobs lies in
/// files; the state needs conditional writes and is kept in memory.
#[derive(Debug)]
pub(crate) struct Bucket {
    states: InMemory,
    folder: PathBuf,
}

impl Bucket {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("jobwarden-costs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self { states: InMemory::new(), folder }
    }

    /// Where an object lies that is not kept in memory.
    fn file(&self, key: &Path) -> Option<PathBuf> {
        (key.filename() != Some("state.json")).then(|| self.folder.join(key.as_ref().replace('/', "_")))
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl std::fmt::Display for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bucket")
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(
        &self,
        to: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let Some(file) = self.file(to) else { return self.states.put_opts(to, payload, options).await };
        if to.as_ref().starts_with("sweeps/") {
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

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.states.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.states.copy_opts(from, to, options).await
    }
}
