//! A session that two nodes serve: a share entered, ended early, told of.

use std::rc::Rc;

use super::access::{a_session, heard};
use super::starts::{Trouble, both};
use super::*;
use crate::app::play;

const JOIN: &[&str] = &["join_session"];
const END: &[&str] = &["end_session", "tell_share"];

/// What is made to fail here.
pub(super) const MAKES: &[&[&str]] = &[JOIN, END];

/// Two nodes of one vault, and a session that was opened on the first.
struct Pair {
    stage: Rc<(Stage, House)>,
    session: Value,
}

impl Pair {
    async fn opened(stage: &Rc<(Stage, House)>) -> Self {
        let session = a_session(&stage.0).await;
        assert_eq!(stage.0.asked(async || heard(&stage.0.house, &session["url"]).await).await.0, StatusCode::OK);
        Self { stage: Rc::clone(stage), session }
    }

    /// The second has served it too.
    async fn shared(stage: &Rc<(Stage, House)>) -> Self {
        let pair = Self::opened(stage).await;
        pair.serve().await.unwrap();
        pair
    }

    async fn serve(&self) -> Result<(), Trouble> {
        done(self.stage.0.asked(async || heard(&self.stage.1, &self.session["url"]).await).await)
    }

    async fn end(&self) -> Result<(), Trouble> {
        let (status, said) = self.stage.0.ask("analyst", "DELETE", text(&self.session["url"]), Value::Null).await;
        // Ended by an attempt whose answer was lost.
        if status == StatusCode::GONE { Ok(()) } else { done((status, said)) }
    }

    /// It ends on both, and the log says so once.
    async fn holds(self) {
        self.end().await.unwrap();
        for node in [&self.stage.0.house, &self.stage.1] {
            let played = async || heard(node, &self.session["url"]).await;
            let ended = async || !self.stage.0.asked(&played).await.0.is_success();
            self.stage.0.until("it is not played any more", ended).await;
        }
        self.stage.0.until("it is told", async || play::tell_over(&self.stage.1.vault).await.is_ok()).await;
        assert_eq!(self.stage.0.count("session_shares".to_owned()).await, 0, "the log tells from now on");
        assert_eq!(self.stage.0.count("sessions WHERE closed_at IS NULL".to_owned()).await, 0);
        let balanced = async || {
            let told = told(&self.stage.0).await;
            told.get("playback.opened") == told.get("playback.closed")
        };
        self.stage.0.until("each opening has its closing, once", balanced).await;
    }
}

fn done((status, said): Answer) -> Result<(), Trouble> {
    if status.is_success() {
        return Ok(());
    }
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{said}");
    Err(said.to_string().into())
}

#[test]
fn p4_a_session_of_two_nodes_is_told_of_whichever_write_fails() {
    sweep(async {
        let stage = Stage::set("").await;
        let beside = stage.house.beside().await;
        let stage = Rc::new((stage, beside));
        let holds = async |pair: Pair| {
            let stage = Rc::clone(&pair.stage);
            pair.end().await.unwrap();
            stage.0.quiet().await;
            pair.holds().await;
        };
        let serve = async |pair: &Pair| pair.serve().await;
        println!("{:?}", both("a share", JOIN, 5, async || Pair::opened(&stage).await, serve, holds).await);
        let end = async |pair: &Pair| {
            let telling = async {
                for _ in 0..20 {
                    let _tried_again = play::tell_over(&pair.stage.1.vault).await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::select! {
                ended = pair.end() => ended,
                () = telling => pair.end().await,
            }
        };
        println!("{:?}", both("an end", END, 0, async || Pair::shared(&stage).await, end, holds).await);
        stage.0.settled().await;
        oracle::sound(&stage.0.house.vault, &[]).await;
    });
}
