//! Learning of restrictions on a thread of its own.
//!
//! A node that has not learnt of restrictions for 750 ms serves nothing. On the threads that seal and open media the
//! question would wait behind hundreds of streams, a segment each, several times before it is answered: a node under
//! full load would refuse everybody for no other reason than its load. The operating system shares processors between
//! threads more fairly than that.

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::app::restrict::Restrictions;

/// Until `closing`, or until this is dropped.
pub(super) async fn run(restrictions: Restrictions, closing: CancellationToken) {
    let closing = closing.child_token();
    let _ends_with_this = closing.clone().drop_guard();
    let (over, ended) = oneshot::channel::<()>();
    let polling = restrictions.clone().poll_until(closing.clone());
    let thread = std::thread::Builder::new().name("restrictions".to_owned()).spawn(move || {
        let _over = over;
        match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(polling),
            Err(e) => tracing::error!(error = %e, "no thread learns of restrictions: this node will serve nothing"),
        }
    });
    match thread {
        // An error says that the thread has ended, which is all that is asked.
        Ok(_) => drop(ended.await),
        Err(e) => {
            tracing::warn!(error = %e, "no thread can be started to learn of restrictions; they are learnt of among other work");
            restrictions.poll_until(closing).await;
        }
    }
}
