-- A chat may begin with what was said in another one, up to and including a message.

ALTER TABLE chats ADD COLUMN forked_from uuid CONSTRAINT chats_message REFERENCES messages;
