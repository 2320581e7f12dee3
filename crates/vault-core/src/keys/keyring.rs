//! The keyring file: root epochs and the ingest secret under a passphrase (`docs/format.md` §7).
//!
//! Bytes in, bytes out: where they lie and who may read them is the server's custody.

mod passphrase;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub use passphrase::{MIN_PASSPHRASE, Parameters, Passphrase, PassphraseError};

use super::committing::{self, OpenError};
use super::hierarchy::{IngestSecret, RootKey};
use super::lifecycle::KeyState;
use super::wrap::RootRef;
use crate::framing::framed;
use crate::ids::KeyringId;
use crate::secret::Secret;
use crate::time::Timestamp;

const MAGIC: &[u8; 8] = b"FVKEYRNG";
const VERSION: u16 = 1;
const HEADER_LEN: usize = 60;
const CHECKSUM_LEN: usize = 32;
const LABEL: &str = "feedback-vault/v1/keyring";
const EPOCH_LEN: usize = 4 + 1 + 8 + 32;
/// Epochs a keyring may hold; a yearly rotation fills it in a millennium.
const MAX_EPOCHS: usize = 1000;
/// No keyring is longer than this.
pub const MAX_KEYRING_LEN: usize = 64 * 1024;

/// What a vault is for. Sealed into its keyring, so that no edit turns a trial into production.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Real recordings.
    Production,
    /// Made by `vault-server dev`, with its passphrase beside it.
    Development,
}

/// Why a keyring was not opened. The file is unchanged in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Some other file.
    #[error("not a keyring file")]
    NotAKeyring,
    /// A keyring of a later version of this program.
    #[error("the keyring has format version {0}, which this program does not know; it reads version {VERSION}")]
    Unsupported(u16),
    /// A keyring, but truncated or altered.
    #[error("the keyring file is damaged: restore it from its backup")]
    Damaged,
    /// Argon2 parameters below OWASP's floor, or absurdly high.
    #[error("the keyring asks for argon2id parameters outside the accepted range")]
    Parameters,
    /// The passphrase is wrong.
    #[error("wrong passphrase for this keyring")]
    WrongPassphrase,
    /// The file has fewer epochs than the open keyring, or one that was destroyed: an older copy came back.
    #[error("the keyring file is an older copy of the one that is open")]
    Older,
}

/// Why a root epoch cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// The epoch belongs to another keyring: a foreign database or a foreign keyring.
    #[error("the key belongs to another keyring ({0})")]
    Foreign(KeyringId),
    /// This keyring never had such an epoch: it is older than the database.
    #[error("this keyring has no root epoch {0}: it is older than the database")]
    Unknown(u32),
    /// The epoch was destroyed.
    #[error("root epoch {0} was destroyed")]
    Destroyed(u32),
    /// The current epoch cannot be destroyed.
    #[error("root epoch {0} is the current one")]
    Current(u32),
    /// No further epoch can be made.
    #[error("the keyring holds as many root epochs as it can")]
    Full,
}

struct Former {
    epoch: u32,
    created_at: Timestamp,
    /// `None` once destroyed.
    key: Option<RootKey>,
}

/// What may be told of a root epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochInfo {
    /// Its number; the first is 1.
    pub epoch: u32,
    /// Active (the current one), deactivated or destroyed.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Which keyring these bytes of a file are, by its head and its checksum; none when they are no keyring. Takes no passphrase, and
/// proves nothing: opening the file does.
#[must_use]
pub fn id_in(bytes: &[u8]) -> Option<KeyringId> {
    File::parse(bytes).ok().map(|file| file.id)
}

/// An open keyring.
pub struct Keyring {
    id: KeyringId,
    setting: Setting,
    created_at: Timestamp,
    parameters: Parameters,
    salt: [u8; 16],
    /// What argon2id made of the passphrase: seals the file again without asking for it.
    sealing: Secret<32>,
    ingest_version: u32,
    ingest: IngestSecret,
    former: Vec<Former>,
    current: u32,
    current_since: Timestamp,
    root: RootKey,
}

impl Keyring {
    /// A new keyring with a first root epoch.
    pub fn create(
        now: Timestamp,
        setting: Setting,
        passphrase: &Passphrase,
        parameters: Parameters,
    ) -> Result<Self, KeyringError> {
        let salt = crate::random::array();
        Ok(Self {
            id: KeyringId::new(now),
            setting,
            created_at: now,
            parameters,
            salt,
            sealing: parameters.stretch(passphrase, &salt)?,
            ingest_version: 1,
            ingest: IngestSecret::generate(),
            former: Vec::new(),
            current: 1,
            current_since: now,
            root: RootKey::generate(),
        })
    }

    /// Opens a keyring file's bytes.
    pub fn open(bytes: &[u8], passphrase: &Passphrase) -> Result<Self, KeyringError> {
        let file = File::parse(bytes)?;
        let parameters = Parameters::stored(file.m_cost, file.t_cost, file.p_cost)?;
        let sealing = parameters.stretch(passphrase, &file.salt)?;
        let body = committing::open(&sealing, &framed(LABEL, &[file.header]), file.sealed).map_err(|e| match e {
            OpenError::WrongKey => KeyringError::WrongPassphrase,
            OpenError::Malformed | OpenError::Forged => KeyringError::Damaged,
        })?;
        let body = Body::parse(&body).ok_or(KeyringError::Damaged)?;
        Ok(Self {
            id: file.id,
            setting: file.setting,
            created_at: body.created_at,
            parameters,
            salt: file.salt,
            sealing,
            ingest_version: body.ingest_version,
            ingest: body.ingest,
            former: body.former,
            current: body.current,
            current_since: body.current_since,
            root: body.root,
        })
    }

    /// Takes in what another node has stored of the same keyring since, without the passphrase: what was made of it seals the
    /// file still. A file under another passphrase, of another keyring, or with fewer epochs changes nothing.
    pub fn reread(&mut self, bytes: &[u8]) -> Result<(), KeyringError> {
        let file = File::parse(bytes)?;
        let same = file.id == self.id && file.setting == self.setting && file.salt == self.salt;
        if !same || [file.m_cost, file.t_cost, file.p_cost] != self.parameters.costs() {
            return Err(KeyringError::WrongPassphrase);
        }
        let body =
            committing::open(&self.sealing, &framed(LABEL, &[file.header]), file.sealed).map_err(|e| match e {
                OpenError::WrongKey => KeyringError::WrongPassphrase,
                OpenError::Malformed | OpenError::Forged => KeyringError::Damaged,
            })?;
        let body = Body::parse(&body).ok_or(KeyringError::Damaged)?;
        let destroyed = |f: &Former| matches!(self.former(f.epoch), Err(EpochError::Destroyed(_)));
        let came_back = body.former.iter().any(|f| f.key.is_some() && destroyed(f));
        if body.current < self.current || body.ingest_version < self.ingest_version || came_back {
            return Err(KeyringError::Older);
        }
        self.ingest_version = body.ingest_version;
        self.ingest = body.ingest;
        self.former = body.former;
        self.current = body.current;
        self.current_since = body.current_since;
        self.root = body.root;
        Ok(())
    }

    /// The file's bytes, sealed afresh.
    #[must_use]
    pub fn seal(&self) -> Vec<u8> {
        self.sealed(&self.body(None))
    }

    /// The file's bytes without the key of a former epoch, which this keyring has until
    /// [`destroy_epoch`](Self::destroy_epoch): they can be stored first.
    pub fn seal_without(&self, epoch: u32) -> Result<Vec<u8>, EpochError> {
        self.former(epoch)?;
        Ok(self.sealed(&self.body(Some(epoch))))
    }

    /// Where a former epoch is that still has its key.
    fn former(&self, epoch: u32) -> Result<usize, EpochError> {
        if epoch == self.current {
            return Err(EpochError::Current(epoch));
        }
        let at = self.former.iter().position(|f| f.epoch == epoch).ok_or(EpochError::Unknown(epoch))?;
        if self.former[at].key.is_some() { Ok(at) } else { Err(EpochError::Destroyed(epoch)) }
    }

    fn sealed(&self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN + body.len() + committing::OVERHEAD + CHECKSUM_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&[u8::from(self.setting == Setting::Development), 0]);
        out.extend_from_slice(self.id.as_bytes());
        for cost in self.parameters.costs() {
            out.extend_from_slice(&cost.to_be_bytes());
        }
        out.extend_from_slice(&self.salt);
        let sealed_len = u32::try_from(body.len() + committing::OVERHEAD).unwrap_or(u32::MAX);
        out.extend_from_slice(&sealed_len.to_be_bytes());
        let associated = framed(LABEL, &[&out]);
        committing::seal_into(&self.sealing, &associated, body, &mut out);
        let checksum = Sha256::digest(&out);
        out.extend_from_slice(&checksum);
        out
    }

    fn body(&self, without: Option<u32>) -> Zeroizing<Vec<u8>> {
        let epochs = self.former.len() + 1;
        let mut out = Zeroizing::new(Vec::with_capacity(8 + 4 + 32 + 2 + epochs * EPOCH_LEN));
        out.extend_from_slice(&self.created_at.as_millis().to_be_bytes());
        out.extend_from_slice(&self.ingest_version.to_be_bytes());
        out.extend_from_slice(self.ingest.secret().expose());
        out.extend_from_slice(&u16::try_from(epochs).unwrap_or(u16::MAX).to_be_bytes());
        let former = self.former.iter();
        let former = former.map(|f| (f.epoch, f.created_at, f.key.as_ref().filter(|_| without != Some(f.epoch))));
        for (epoch, created_at, key) in former.chain([(self.current, self.current_since, Some(&self.root))]) {
            out.extend_from_slice(&epoch.to_be_bytes());
            out.push(u8::from(key.is_some()));
            out.extend_from_slice(&created_at.as_millis().to_be_bytes());
            out.extend_from_slice(key.map_or(&[0; 32], |k| k.secret().expose()));
        }
        out
    }

    /// Which keyring this is.
    #[must_use]
    pub const fn id(&self) -> KeyringId {
        self.id
    }

    /// What the vault is for.
    #[must_use]
    pub const fn setting(&self) -> Setting {
        self.setting
    }

    /// When the keyring was made.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// The current root epoch: wraps what is new.
    #[must_use]
    pub const fn current(&self) -> (RootRef, &RootKey) {
        (RootRef { keyring: self.id, epoch: self.current }, &self.root)
    }

    /// The root key of an epoch that a wrap names.
    pub fn root(&self, named: RootRef) -> Result<&RootKey, EpochError> {
        if named.keyring != self.id {
            return Err(EpochError::Foreign(named.keyring));
        }
        if named.epoch == self.current {
            return Ok(&self.root);
        }
        let former = self.former.iter().find(|f| f.epoch == named.epoch).ok_or(EpochError::Unknown(named.epoch))?;
        former.key.as_ref().ok_or(EpochError::Destroyed(named.epoch))
    }

    /// The ingest secret and its version.
    #[must_use]
    pub const fn ingest(&self) -> (RootRef, &IngestSecret) {
        (RootRef { keyring: self.id, epoch: self.ingest_version }, &self.ingest)
    }

    /// All epochs, oldest first.
    #[must_use]
    pub fn epochs(&self) -> Vec<EpochInfo> {
        let former = self.former.iter().map(|f| EpochInfo {
            epoch: f.epoch,
            state: if f.key.is_some() { KeyState::Deactivated } else { KeyState::Destroyed },
            created_at: f.created_at,
        });
        let current = EpochInfo { epoch: self.current, state: KeyState::Active, created_at: self.current_since };
        former.chain([current]).collect()
    }

    /// Makes a fresh root epoch the current one; the former one unwraps on. To be stored before use.
    pub fn begin_epoch(&mut self, now: Timestamp) -> Result<RootRef, EpochError> {
        if self.former.len() + 1 >= MAX_EPOCHS {
            return Err(EpochError::Full);
        }
        let next = self.current.checked_add(1).ok_or(EpochError::Full)?;
        let key = core::mem::replace(&mut self.root, RootKey::generate());
        self.former.push(Former { epoch: self.current, created_at: self.current_since, key: Some(key) });
        self.current = next;
        self.current_since = now;
        Ok(RootRef { keyring: self.id, epoch: next })
    }

    /// Takes back [`begin_epoch`](Self::begin_epoch) when the file could not be stored.
    pub fn abandon_epoch(&mut self) {
        if let Some(Former { epoch, created_at, key: Some(key) }) = self.former.pop() {
            self.root = key;
            self.current = epoch;
            self.current_since = created_at;
        }
    }

    /// Wipes a former epoch's key. Final once the file has been stored and its backups are gone.
    pub fn destroy_epoch(&mut self, epoch: u32) -> Result<(), EpochError> {
        let at = self.former(epoch)?;
        self.former[at].key = None;
        Ok(())
    }
}

/// The file's outer layer, its checksum verified.
struct File<'a> {
    header: &'a [u8],
    setting: Setting,
    id: KeyringId,
    m_cost: u32,
    t_cost: u32,
    p_cost: u32,
    salt: [u8; 16],
    sealed: &'a [u8],
}

impl<'a> File<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, KeyringError> {
        use KeyringError::{Damaged, NotAKeyring, Unsupported};
        let mut rest = Reader(bytes.strip_prefix(MAGIC).ok_or(NotAKeyring)?);
        let version = rest.u16().ok_or(Damaged)?;
        if version != VERSION {
            return Err(Unsupported(version));
        }
        // Unkeyed: it tells damage from a wrong passphrase and proves nothing. The seal does that.
        let (content, checksum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(Damaged)?;
        if bytes.len() > MAX_KEYRING_LEN || Sha256::digest(content)[..] != checksum[..] {
            return Err(Damaged);
        }
        let (header, sealed) = content.split_at_checked(HEADER_LEN).ok_or(Damaged)?;
        let setting = match rest.array::<2>().ok_or(Damaged)? {
            [0, 0] => Setting::Production,
            [1, 0] => Setting::Development,
            _ => return Err(Damaged),
        };
        let id = KeyringId::from_bytes(rest.array().ok_or(Damaged)?);
        let mut cost = || rest.u32().ok_or(Damaged);
        let (m_cost, t_cost, p_cost) = (cost()?, cost()?, cost()?);
        let salt = rest.array().ok_or(Damaged)?;
        let sealed_len = rest.u32().ok_or(Damaged)?;
        if usize::try_from(sealed_len) != Ok(sealed.len()) {
            return Err(Damaged);
        }
        Ok(Self { header, setting, id, m_cost, t_cost, p_cost, salt, sealed })
    }
}

/// What lies under the seal.
struct Body {
    created_at: Timestamp,
    ingest_version: u32,
    ingest: IngestSecret,
    former: Vec<Former>,
    current: u32,
    current_since: Timestamp,
    root: RootKey,
}

impl Body {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = Reader(bytes);
        let created_at = rest.time()?;
        let ingest_version = rest.u32()?;
        let ingest = IngestSecret::from_secret(rest.secret()?);
        let epochs = usize::from(rest.u16()?);
        if epochs == 0 || epochs > MAX_EPOCHS {
            return None;
        }
        let mut former = Vec::with_capacity(epochs - 1);
        let mut last = 0;
        for _ in 1..epochs {
            let (epoch, created_at, key) = rest.epoch(last)?;
            last = epoch;
            former.push(Former { epoch, created_at, key });
        }
        let (current, current_since, root) = rest.epoch(last)?;
        let root = root?;
        rest.0.is_empty().then_some(Self { created_at, ingest_version, ingest, former, current, current_since, root })
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.array().map(i64::from_be_bytes).map(Timestamp::from_millis)
    }

    /// Straight into locked memory.
    fn secret(&mut self) -> Option<Secret<32>> {
        let (head, tail) = self.0.split_first_chunk::<32>()?;
        self.0 = tail;
        Some(Secret::fill(|bytes| bytes.copy_from_slice(head)))
    }

    fn epoch(&mut self, last: u32) -> Option<(u32, Timestamp, Option<RootKey>)> {
        let epoch = self.u32().filter(|e| *e > last)?;
        let [present] = self.array()?;
        let created_at = self.time()?;
        let key = self.secret()?;
        match present {
            0 => Some((epoch, created_at, None)),
            1 => Some((epoch, created_at, Some(RootKey::from_secret(key)))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
