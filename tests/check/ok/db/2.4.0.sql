-- changes
alter table calls add column billing text;
