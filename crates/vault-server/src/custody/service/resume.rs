//! Resume keys: one a day, destroyed when no upload hangs on them any more.

use std::sync::Arc;

use vault_core::ids::ResumeKeyId;
use vault_core::keys::hierarchy::ResumeKey;

use super::{KeyError, KeyService, blocking};
use crate::custody::FileError;
use crate::store::keys;

impl KeyService {
    /// The resume key under which uploads begin today.
    pub async fn resume_key_today(&self) -> Result<(ResumeKeyId, Arc<ResumeKey>), KeyError> {
        self.check_open()?;
        let (custody, resume, now) = (Arc::clone(&self.custody), Arc::clone(&self.resume), self.clock.now());
        let id = blocking(move || resume.today(custody.as_ref(), now)).await?;
        Ok((id, self.resume_key(id).await?))
    }

    /// A resume key that an upload under way names.
    pub async fn resume_key(&self, id: ResumeKeyId) -> Result<Arc<ResumeKey>, KeyError> {
        self.check_open()?;
        if let Some(key) = self.resume_keys.get(id) {
            return Ok(key);
        }
        let (custody, resume) = (Arc::clone(&self.custody), Arc::clone(&self.resume));
        let key = blocking(move || resume.read(custody.as_ref(), id)).await?;
        Ok(self.resume_keys.keep(id, key))
    }

    /// Lets go of the resume keys that another node has destroyed.
    pub async fn forget_destroyed_resume_keys(&self) -> Result<(), KeyError> {
        let (resume, held) = (Arc::clone(&self.resume), self.resume_keys.keys());
        let gone =
            blocking(move || Ok::<_, FileError>(held.into_iter().filter(|id| !resume.holds(*id)).collect::<Vec<_>>()));
        for id in gone.await? {
            self.resume_keys.forget(id);
        }
        Ok(())
    }

    /// Whether a resume key is known to be destroyed.
    pub async fn is_resume_key_destroyed(&self, id: ResumeKeyId) -> Result<bool, KeyError> {
        let resume = Arc::clone(&self.resume);
        blocking(move || Ok::<_, FileError>(resume.is_destroyed(id))).await
    }

    /// Destroys the resume keys of past days under which no upload is under way any more; answers which.
    pub async fn destroy_resume_keys(&self) -> Result<Vec<ResumeKeyId>, KeyError> {
        let (resume, now) = (Arc::clone(&self.resume), self.clock.now());
        let past = blocking(move || resume.past(now)).await?;
        let mut destroyed = Vec::new();
        for id in past {
            let held = {
                let mut conn = self.store.read().await?;
                keys::uploads_under(conn.conn(), id).await?
            };
            if held == 0 {
                self.resume_keys.forget(id);
                let resume = Arc::clone(&self.resume);
                blocking(move || resume.destroy(id)).await?;
                destroyed.push(id);
            }
        }
        Ok(destroyed)
    }
}
