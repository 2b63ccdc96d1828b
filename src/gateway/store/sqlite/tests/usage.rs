//! Usage: as in memory.

use super::*;
use crate::gateway::store::usage_conformance;

#[test]
fn batches_add_up_as_in_memory() {
    let folders = std::cell::RefCell::new(Vec::new());
    usage_conformance::random_batches(|| async {
        let (folder, path) = folder();
        folders.borrow_mut().push(folder);
        Box::new(open(&path).await.unwrap()) as Box<dyn Store>
    });
}

#[tokio::test]
async fn a_batch_counts_once() {
    let (_folder, path) = folder();
    usage_conformance::a_batch_counts_once(&open(&path).await.unwrap()).await;
}

#[tokio::test]
async fn absurd_values_are_stored() {
    let (_folder, path) = folder();
    usage_conformance::absurd_values_are_stored(&open(&path).await.unwrap()).await;
}

#[tokio::test]
async fn usage_is_deleted_after_its_time() {
    let (_folder, path) = folder();
    usage_conformance::usage_is_deleted_after_its_time(&open(&path).await.unwrap(), || ()).await;
}
