-- wamid is WhatsApp's id of a message; rows from before it was kept have none. What Meta sends twice is one row.
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY,
    phone_number_id TEXT NOT NULL,
    wamid TEXT,
    sender TEXT NOT NULL,
    type TEXT NOT NULL,
    text TEXT,
    filename TEXT,
    media_url TEXT,
    sent_at INTEGER NOT NULL,
    UNIQUE (phone_number_id, wamid)
);
