//! What both broken stores have in common: reads go to another store.

/// Implements [`ReplicaStore`](prophet_store::ReplicaStore) for a type that has a `facts`, and an async
/// `inner` that gives the store to read from, `page`, which may change what a scan finds, `seen`,
/// which may change a head, and `write`, `close`.
macro_rules! forward {
    ($type:ty) => {
        #[async_trait::async_trait]
        impl prophet_store::ReplicaStore for $type {
            fn facts(&self) -> &Facts {
                self.inner.facts()
            }

            async fn head(&self) -> Result<Head, StoreError> {
                let head = self.inner().await?.head().await?;
                Ok(self.seen(head))
            }

            async fn get_records(
                &self,
                keys: &[RecordKey],
            ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
                self.inner().await?.get_records(keys).await
            }

            async fn scan_records(
                &self,
                scan: &RecordScan,
            ) -> Result<Page<RecordState, RecordKey>, StoreError> {
                let scan = RecordScan { limit: self.limit(scan.limit), ..scan.clone() };
                self.page(self.inner().await?.scan_records(&scan).await?)
            }

            async fn count_records(
                &self,
                record_type: Option<&RecordType>,
            ) -> Result<Read<RecordCounts>, StoreError> {
                self.inner().await?.count_records(record_type).await
            }

            async fn scan_log(
                &self,
                scan: &LogScan,
            ) -> Result<Page<LogEntry, Position>, StoreError> {
                let scan = LogScan { limit: self.limit(scan.limit), ..*scan };
                self.page(self.inner().await?.scan_log(&scan).await?)
            }

            async fn scan_history(
                &self,
                scan: &HistoryScan,
            ) -> Result<Page<LogEntry, Position>, StoreError> {
                self.inner().await?.scan_history(scan).await
            }

            async fn scan_origin(
                &self,
                scan: &OriginScan,
            ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
                self.inner().await?.scan_origin(scan).await
            }

            async fn find_changesets(
                &self,
                digests: &[Digest],
            ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
                self.inner().await?.find_changesets(digests).await
            }

            async fn scan_resolutions(
                &self,
                scan: &ResolutionScan,
            ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
                self.inner().await?.scan_resolutions(scan).await
            }

            async fn get_metadata(
                &self,
                keys: &[MetadataKey],
            ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
                self.inner().await?.get_metadata(keys).await
            }

            async fn scan_metadata(
                &self,
                scan: &MetadataScan,
            ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
                self.inner().await?.scan_metadata(scan).await
            }

            async fn commit(&self, commit: &Commit) -> Result<Head, StoreError> {
                self.write(commit).await
            }

            async fn verify(&self) -> Result<Verification, StoreError> {
                self.inner().await?.verify().await
            }

            async fn close(&self) -> Result<(), StoreError> {
                self.inner().await?.close().await
            }
        }
    };
}

pub(crate) use forward;
