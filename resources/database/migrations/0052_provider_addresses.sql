-- Where a tenant's own key is good: null = where the platform's own is, or at the vendor's.
ALTER TABLE aiw.provider_key ADD COLUMN base_url text COLLATE "C";
