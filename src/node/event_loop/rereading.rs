//! Files that are read again while the node runs: its settings, its tokens, its certificate.

use super::*;
use crate::node::auth::Shown;
use crate::node::connection::Slot;
use crate::node::settings::Seen;

impl Node {
    /// Looks at the files from time to time, elsewhere: even a stat can take long on a disk that is ill.
    pub(super) fn look_at_files(&mut self, now: Now) {
        if let Some(look) = self.watch.due(now.instant) {
            self.pool.run(move || PoolDone::Looked(Box::new(look.run())));
        }
    }

    /// Takes what was read anew.
    pub(super) fn take_seen(&mut self, seen: Seen, now: Now) -> Result<(), NodeError> {
        self.watch.looked(&seen, now.instant);
        if let Some(file) = self.watch.note_password(&seen) {
            self.tell_of_file(&file, &[], &self.watch.needs_restart(), None, now);
        }
        match seen.settings {
            None => {}
            Some(Ok(read)) => {
                self.mend(self.watch.file(), now);
                let outcome = self.watch.take(read.settings);
                (self.config.request_timeout, self.config.drain) = (read.request_timeout, read.drain);
                self.config.snapshot_interval = read.snapshot_interval;
                (self.config.compact_keep, self.config.compact_age) = (read.compact_keep, read.compact_age);
                self.config.settings.clone_from(&self.watch.settings);
                if outcome != Default::default() {
                    self.tell_of_file(&self.watch.file(), &outcome.applied, &outcome.needs_restart, None, now);
                }
            }
            Some(Err(problem)) => self.complain(self.watch.file(), &problem, now),
        }
        match seen.tokens {
            None => {}
            Some(Ok(tokens)) => {
                self.mend(self.watch.tokens_file(), now);
                if tokens != self.tokens {
                    self.tokens = tokens;
                    self.tell_of_file(&self.watch.tokens_file(), &["tokens"], &[], None, now);
                    self.close_what_the_gone_have(now)?;
                }
            }
            Some(Err(problem)) => self.complain(self.watch.tokens_file(), &problem, now),
        }
        match seen.tls {
            None => {}
            // Connections that stand go on as they are.
            Some(Ok(identity)) => {
                self.mend(self.watch.tls_file(), now);
                if self.tls.replace(identity.clone()) != Some(identity) {
                    self.tell_of_file(&self.watch.tls_file(), &["tls"], &[], None, now);
                }
            }
            Some(Err(problem)) => self.complain(self.watch.tls_file(), &problem, now),
        }
        Ok(())
    }

    /// Links and streams outlive their request, so they end with the token that they were made with. Everything else
    /// is judged at its next request.
    fn close_what_the_gone_have(&mut self, now: Now) -> Result<(), NodeError> {
        let gone = |shown: Option<Shown>, tokens: &Tokens| shown.is_none_or(|shown| !tokens.may_read(shown));
        for index in 0..self.connections.len() {
            let is_gone = self.connections[index].as_ref().is_some_and(|connection| {
                let streams =
                    |slot: &Slot| matches!(slot, Slot::Log(_) | Slot::Documents(_) | Slot::Events(_) | Slot::Backup(_));
                gone(connection.shown, &self.tokens) && connection.slots.iter().any(streams)
            });
            if is_gone {
                self.close(index);
            }
        }
        for place in 0..self.peers.len() {
            let is_gone = self.peers[place]
                .as_ref()
                .is_some_and(|peer| peer.shown.is_some_and(|shown| !self.tokens.may_speak_as_peer(shown)));
            if is_gone {
                ::log::info!("a peer's connection is closed: its token is gone");
                self.lose(place, now)?;
            }
        }
        Ok(())
    }

    fn complain(&mut self, file: PathBuf, problem: &str, now: Now) {
        if self.watch.note(file.clone(), Some(problem)) {
            ::log::error!("{problem}; what was read before still holds");
            self.tell_of_file(&file, &[], &[], Some(problem), now);
        }
    }

    /// A file that was wrong is right again.
    fn mend(&mut self, file: PathBuf, now: Now) {
        if self.watch.note(file.clone(), None) {
            self.tell_of_file(&file, &[], &[], None, now);
        }
    }

    fn tell_of_file(
        &mut self,
        file: &std::path::Path,
        applied: &[&'static str],
        needs_restart: &[&'static str],
        error: Option<&str>,
        now: Now,
    ) {
        let facts = [
            ("file".to_owned(), file.to_string_lossy().into()),
            ("applied".to_owned(), applied.into()),
            ("needs_restart".to_owned(), needs_restart.into()),
            ("error".to_owned(), error.into()),
        ];
        self.tell_people("config", facts.into_iter().collect(), now);
    }
}
