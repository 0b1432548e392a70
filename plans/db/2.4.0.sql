#!/bin/sh
# Brings the call-centre database from 2.3.7 to 2.4.0. Executed on the database host, so it is a script that
# hands its statements to the database. There is no transaction around them: a failure half-way leaves half of
# them done, and the way back is the dump (see the rollback of `db-scripts`).
set -eu

callcentre-sql <<'SQL'
-- The new billing screen.
CREATE TABLE invoices (number, customer, total, currency, issued);
CREATE TABLE invoice_lines (invoice, position, text, amount);
INSERT INTO invoices VALUES ('2007-0001', 1, '120.00', 'CAD', '2007-11-30');
INSERT INTO invoice_lines VALUES ('2007-0001', 1, 'Support, November', '120.00');

-- Transfer of a customer from one agent to another.
CREATE TABLE transfers (customer, from_agent, to_agent, at);
ALTER TABLE customers ADD COLUMN agent DEFAULT 'unassigned';
UPDATE customers SET agent = 'Anna' WHERE id = '1';

-- The regression list of October: two names were misspelt.
UPDATE customers SET name = 'Lakeshore Bakery' WHERE id = '2';
UPDATE customers SET name = 'Yonge Street Optics' WHERE id = '3';

-- Last of all, so that a database with this version is complete.
UPDATE schema SET version = '2.4.0';
SQL
