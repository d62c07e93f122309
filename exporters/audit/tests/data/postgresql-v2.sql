--
-- PostgreSQL database dump
--


-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: reject_change(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.reject_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$BEGIN RAISE EXCEPTION 'append-only: no % on %', TG_OP, TG_TABLE_NAME; END$$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: archived; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.archived (
    leaf_index bigint NOT NULL,
    kind text NOT NULL,
    content_hash bytea NOT NULL,
    record_id text,
    sink_time_unix_nano bigint NOT NULL,
    leaf_hash bytea NOT NULL
);


--
-- Name: archives; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.archives (
    first_leaf bigint NOT NULL,
    end_leaf bigint NOT NULL,
    older_than timestamp with time zone NOT NULL,
    name text NOT NULL,
    sha256 bytea NOT NULL,
    archived_at timestamp with time zone NOT NULL
);


--
-- Name: audit_log; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.audit_log (
    leaf_index bigint NOT NULL,
    id text NOT NULL,
    event_type text NOT NULL,
    actor_id text NOT NULL,
    actor_type text NOT NULL,
    resource_type text,
    resource_id text,
    action text,
    details text NOT NULL,
    correlation_id text,
    client_ip text,
    user_agent text,
    inserted_at timestamp with time zone NOT NULL,
    integrity_hash bytea NOT NULL,
    leaf text NOT NULL,
    leaf_hash bytea NOT NULL
);


--
-- Name: checkpoints; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.checkpoints (
    size bigint NOT NULL,
    note text NOT NULL
);


--
-- Name: cosignatures; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.cosignatures (
    size bigint NOT NULL,
    witness text NOT NULL,
    line text NOT NULL
);


--
-- Name: flowstone_audit_log; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.flowstone_audit_log AS
 SELECT audit_log.id,
    audit_log.event_type,
    audit_log.actor_id,
    audit_log.actor_type,
    audit_log.resource_type,
    audit_log.resource_id,
    audit_log.action,
    (replace(audit_log.details, '\u0000'::text, '\u2400'::text))::jsonb AS details,
    audit_log.correlation_id,
    (split_part(audit_log.client_ip, '%'::text, 1))::inet AS client_ip,
    audit_log.user_agent,
    audit_log.inserted_at
   FROM public.audit_log;


--
-- Name: ids; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ids (
    key bytea NOT NULL,
    leaf_index bigint NOT NULL
);


--
-- Name: meta; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.meta (
    name text NOT NULL,
    value text NOT NULL
);


--
-- Name: nodes; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.nodes (
    level integer NOT NULL,
    node_index bigint NOT NULL,
    hash bytea NOT NULL
);


--
-- Name: quarantine; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.quarantine (
    leaf_index bigint NOT NULL,
    digest bytea NOT NULL,
    kind text NOT NULL,
    record_id text,
    reason text NOT NULL,
    encoding text NOT NULL,
    payload bytea NOT NULL,
    inserted_at timestamp with time zone NOT NULL,
    sink_time_unix_nano bigint NOT NULL,
    leaf text NOT NULL,
    leaf_hash bytea NOT NULL
);


--
-- Name: refusals; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.refusals (
    number bigint NOT NULL,
    witness text NOT NULL,
    size bigint NOT NULL,
    status integer NOT NULL,
    answer text NOT NULL,
    request text NOT NULL,
    refused_at timestamp with time zone NOT NULL
);


--
-- Name: refusals_number_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.refusals ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.refusals_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: schema_version; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.schema_version (
    version integer NOT NULL
);


--
-- Name: witnessed; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.witnessed (
    size bigint NOT NULL
);


--
-- Data for Name: archived; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: archives; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: audit_log; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.audit_log VALUES (0, 'c73020d5-7833-4b2b-a4d6-164075fbcdf9', 'flowstone.checkpoint.approved', 'alice@example.com', 'user', 'checkpoint', 'approval-1', 'APPROVE', '{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}', 'run-1', '203.0.113.7', 'curl/8', '2026-11-26 20:35:19.850302+00', '\x4a11ee1ab46de11ef298d8e8acefcd71dcdd96d111e132b3cfe965d0f1fa1bd4', '{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"c73020d5-7833-4b2b-a4d6-164075fbcdf9"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725319849847438","timeUnixNano":"1795725319849847438"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725319850302757"}', '\x4a5e40e93916ae1ee2b1679ac0fd9b37686d015a42fd9b96fc057cf35c39c79c');
INSERT INTO public.audit_log VALUES (1, '113df836-cc60-419a-b282-74c0f40a74a8', 'flowstone.checkpoint.approved', 'alice@example.com', 'user', 'checkpoint', 'approval-1', 'APPROVE', '{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}', 'run-1', '203.0.113.7', 'curl/8', '2026-11-26 20:35:19.850302+00', '\x91d9860271076d96446f140e5f191f9a1bee2dce4b5997ec44651d0a1394fb14', '{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"113df836-cc60-419a-b282-74c0f40a74a8"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725319850093245","timeUnixNano":"1795725319850093245"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725319850302757"}', '\xf857fc5b32c4e151eaa8dc27a8a1347fceb67aeb7d8e82e6867a9917834528ae');
INSERT INTO public.audit_log VALUES (2, 'bb88e1d3-99d9-4161-bf6e-f649cf8f06b3', 'flowstone.checkpoint.approved', 'alice@example.com', 'user', 'checkpoint', 'approval-1', 'APPROVE', '{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}', 'run-1', '203.0.113.7', 'curl/8', '2026-11-26 20:35:19.850302+00', '\x428ab9aeeb1bc501729c0d63a5cf73a4d1922205e98c7653292ec508f435bf48', '{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"bb88e1d3-99d9-4161-bf6e-f649cf8f06b3"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725319850138532","timeUnixNano":"1795725319850138532"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725319850302757"}', '\xf5408312433008261f97308a7d8127eb6b22261db2fbcea58cafdffef725d4c6');
INSERT INTO public.audit_log VALUES (3, 'a2247de1-9af4-43b9-a037-e26639a3fb9b', 'flowstone.checkpoint.approved', 'alice@example.com', 'user', 'checkpoint', 'approval-1', 'APPROVE', '{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}', 'run-1', '203.0.113.7', 'curl/8', '2026-11-26 20:35:19.850302+00', '\x9f2b56d801bc080a5d9ce755fc5f4ea8e58b3fc9fe89db004807eab263c8c580', '{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"a2247de1-9af4-43b9-a037-e26639a3fb9b"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725319850174335","timeUnixNano":"1795725319850174335"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725319850302757"}', '\xc2a8425c8b3e309aae2c7706f1fcc7718575788198c157fc04625387e798a02c');
INSERT INTO public.audit_log VALUES (4, '99301e79-e667-4d91-9f2a-d4bbef839935', 'flowstone.checkpoint.approved', 'alice@example.com', 'user', 'checkpoint', 'approval-1', 'APPROVE', '{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}', 'run-1', '203.0.113.7', 'curl/8', '2026-11-26 20:35:19.850302+00', '\xbcb7f3a1011d3a16822aeb896263afe15a120b037e1356aa7b0a5a11b6968750', '{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"99301e79-e667-4d91-9f2a-d4bbef839935"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725319850208747","timeUnixNano":"1795725319850208747"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725319850302757"}', '\x376160c714d0bc41f661f0cdc71d70f4b81a55f46fe765b060d399b935745972');
INSERT INTO public.audit_log VALUES (5, '96e892da-ba8b-4473-a93e-6bf944776f50', 'flowstone.checkpoint.approved', 'alice@example.com', 'user', 'checkpoint', 'approval-1', 'APPROVE', '{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}', 'run-1', '203.0.113.7', 'curl/8', '2026-11-26 20:35:19.924496+00', '\x10ab2f09e63309a43c65f8193f1f77d1027f32d8a72ba6d42ea7263f8ef16c55', '{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"96e892da-ba8b-4473-a93e-6bf944776f50"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725319924132356","timeUnixNano":"1795725319924132356"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725319924496318"}', '\x2006e033be648c31086b23e1ad1a9b560384a456e91121a3f581d45b827040ff');
INSERT INTO public.audit_log VALUES (6, '2b1ffc15-b117-4a8d-adec-82ebab89c4d3', 'flowstone.checkpoint.approved', 'alice@example.com', 'user', 'checkpoint', 'approval-1', 'APPROVE', '{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}', 'run-1', '203.0.113.7', 'curl/8', '2026-11-26 20:35:19.924496+00', '\x707e11d071fde28bce0f1f23628bed4c5318d14512844a26d6c2e19f489e4fa5', '{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"2b1ffc15-b117-4a8d-adec-82ebab89c4d3"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725319924298784","timeUnixNano":"1795725319924298784"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725319924496318"}', '\x71cd03a91d0dddca6af75c515cd5fdcc729ab7033118ed9923258ca9297fef08');
INSERT INTO public.audit_log VALUES (7, 'b507c768-790a-48ac-b1ee-ff0066422881', 'flowstone.checkpoint.approved', 'alice@example.com', 'user', 'checkpoint', 'approval-1', 'APPROVE', '{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}', 'run-1', '203.0.113.7', 'curl/8', '2026-11-26 20:35:19.924496+00', '\x5695b2321c3a5f45324f1b7dc3eaca953152fa61ce77ef313e23fa3f9f6aefa6', '{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"b507c768-790a-48ac-b1ee-ff0066422881"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725319924345113","timeUnixNano":"1795725319924345113"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725319924496318"}', '\x997538b049abda056507d23d3a8c260587333c587154d026b7c9fb57517993c7');
INSERT INTO public.audit_log VALUES (8, '7ca3bc5c-2447-42e3-9cd2-3a3461cfbc8b', 'flowstone.checkpoint.approved', 'alice@example.com', 'user', 'checkpoint', 'approval-1', 'APPROVE', '{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}', 'run-1', '203.0.113.7', 'curl/8', '2026-11-26 20:35:19.924496+00', '\x46d18b64e812e6581769f570625f436ad30f7ed41684a8e984a9caefae706d51', '{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"7ca3bc5c-2447-42e3-9cd2-3a3461cfbc8b"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725319924381177","timeUnixNano":"1795725319924381177"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725319924496318"}', '\x06000046d660aec05f4b16a7a5a3406fa410c5a4174ac904ed07fbf4c39f0d0c');
INSERT INTO public.audit_log VALUES (9, 'c0c14c28-3f9d-43da-a285-863bbcd71f66', 'flowstone.checkpoint.approved', 'alice@example.com', 'user', 'checkpoint', 'approval-1', 'APPROVE', '{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}', 'run-1', '203.0.113.7', 'curl/8', '2026-11-26 20:35:19.924496+00', '\xd89751ef3020d83a225a8b907dc85dcdbace6145bb46f7fa44ebd1a6b89511ef', '{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"c0c14c28-3f9d-43da-a285-863bbcd71f66"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725319924413275","timeUnixNano":"1795725319924413275"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725319924496318"}', '\x947f939c5782bc8e00f7803497f398c36e7088bce163fe3e9984a2ba360dd7e1');


--
-- Data for Name: checkpoints; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.checkpoints VALUES (0, 'audit.test/log
0
47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=

— audit.test/log +z/9Rufw4Wo3xhBLuxnFjiXCOLdgEZgHB03XcdGTz6ip0wWBnZ3dajeYOQrerR0bDto7sb2B/zSHZIGMLW06MCRUMgc=
');
INSERT INTO public.checkpoints VALUES (5, 'audit.test/log
5
osLPWVsoRX4EYfHTaNieHJ45Xgeb4gGcMXprrRCGnzc=

— audit.test/log +z/9RjjB3NYRH3sH4sJbp3UbCTz8hDR+2Q4HGG6Cn7lIkRmJInZE6jK0aiwV/aKvAxgKnan4NR7yoI2mbJmPNd/sWwk=
');
INSERT INTO public.checkpoints VALUES (10, 'audit.test/log
10
z+rI2hyGmhssNlMkAXfC4Esfb1+ku26GrG7vGJ8m08A=

— audit.test/log +z/9Rken0WbGuxi4Hy/PmP/MKGWUVP0ptqptSdN2VYfzExrZ6eNSA65ly+4XXYO1yXBkPSnsizQ61Ij/894UU7dWyQ0=
');
INSERT INTO public.checkpoints VALUES (13, 'audit.test/log
13
unrWyjYDccpd0s4WDO7ILlVs4k6ddLG4azlRDIYHN6Q=

— audit.test/log +z/9RirsWEHQT4vgM9BVtc1NjR3mCMWn/liIA4g5LXe4nulP30m5sscf0cCrq3+xBRUy9cuw84S0dnMAZlC1RNOTvgA=
');


--
-- Data for Name: cosignatures; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.cosignatures VALUES (13, 'w.example.com+47dc0f1d', '— w.example.com R9wPHQAAAABlU/EAfIvj5KqhdieSMh5z1OFUKJ5c2C/KuWVu9KLOaZiE1zQTRCX6Z872/ASeg6/6rjKzRTn0UHQBZa675tXhq57OAg==
');


--
-- Data for Name: ids; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.ids VALUES ('\xc73020d578334b2ba4d6164075fbcdf9', 0);
INSERT INTO public.ids VALUES ('\x113df836cc60419ab28274c0f40a74a8', 1);
INSERT INTO public.ids VALUES ('\xbb88e1d399d94161bf6ef649cf8f06b3', 2);
INSERT INTO public.ids VALUES ('\xa2247de19af443b9a037e26639a3fb9b', 3);
INSERT INTO public.ids VALUES ('\x99301e79e6674d919f2ad4bbef839935', 4);
INSERT INTO public.ids VALUES ('\x96e892daba8b4473a93e6bf944776f50', 5);
INSERT INTO public.ids VALUES ('\x2b1ffc15b1174a8dadec82ebab89c4d3', 6);
INSERT INTO public.ids VALUES ('\xb507c768790a48acb1eeff0066422881', 7);
INSERT INTO public.ids VALUES ('\x7ca3bc5c244742e39cd23a3461cfbc8b', 8);
INSERT INTO public.ids VALUES ('\xc0c14c283f9d43daa285863bbcd71f66', 9);


--
-- Data for Name: meta; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.meta VALUES ('origin', 'audit.test/log');
INSERT INTO public.meta VALUES ('verifier_key', 'audit.test/log+fb3ffd46+AdZ/eHyG3P+8smZ49VslammguXMhulmhTRIBjIOqPCfB');


--
-- Data for Name: nodes; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: quarantine; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.quarantine VALUES (10, '\x3d355c03716a8ebee099cdcb94752bf3e36bf9c5ca774086fbbf73dd969fcf7a', 'record', 'f9fa9f06-408c-45e9-bc70-897de4d8f6f1', 'audit.actor.type is ''robot'', allowed: service, system, user', 'protobuf', '\x0a310a180a0c736572766963652e6e616d6512080a066f72646572730a150a087265736f75726365120921000000000000f03f1280040a0012fb030936242817aab2eb182a4d324b0a160a06726561736f6e120c0a0a6c6f6f6b7320676f6f640a120a0573636f7265120921000000000000f03f0a1d0a05706172747312142a120a0218010a0a188080808080808080100a00321f0a1461737361792e636f7272656c6174696f6e5f696412070a0572756e2d31321f0a13757365725f6167656e742e6f726967696e616c12080a066375726c2f3832390a0f61756469742e7265636f72642e696412260a2466396661396630362d343038632d343565392d626337302d38393764653464386636663132250a0e61756469742e6163746f722e696412130a11616c696365406578616d706c652e636f6d321b0a1061756469742e6163746f722e7479706512070a05726f626f7432190a0c61756469742e616374696f6e12090a07415050524f5645321a0a0d61756469742e6f7574636f6d6512090a0773756363657373321f0a0f61756469742e7461726765742e6964120c0a0a617070726f76616c2d3132210a1161756469742e7461726765742e74797065120c0a0a636865636b706f696e7432200a0f61756469742e736f757263652e6964120d0a0b3230332e302e3131332e37321b0a1161756469742e736f757263652e7479706512060a04697076345936242817aab2eb18621d666c6f7773746f6e652e636865636b706f696e742e617070726f766564', '2026-11-26 20:35:20.040222+00', 1795725320040222994, '{"quarantine":{"encoding":"protobuf","kind":"record","payloadSha256":"3d355c03716a8ebee099cdcb94752bf3e36bf9c5ca774086fbbf73dd969fcf7a","reason":"audit.actor.type is ''robot'', allowed: service, system, user","recordId":"f9fa9f06-408c-45e9-bc70-897de4d8f6f1"},"sinkTimeUnixNano":"1795725320040222994"}', '\xc41b351fabc2f1e2989e9c171fb0b7440553200642871a19b6c88339d532e272');
INSERT INTO public.quarantine VALUES (11, '\xbc7cc80877991fd9d99847785fefc7c22da01182a1e289c0cba7ec0cfc8ea7cf', 'record', '2e0c7dfa-0a57-43a8-ab27-d7c2df3488e5', 'event_name is empty: set the name of what happened, such as user.login', 'protobuf', '\x0a310a180a0c736572766963652e6e616d6512080a066f72646572730a150a087265736f75726365120921000000000000f03f12e0030a0012db030957cf2a17aab2eb182a4d324b0a160a06726561736f6e120c0a0a6c6f6f6b7320676f6f640a120a0573636f7265120921000000000000f03f0a1d0a05706172747312142a120a0218010a0a188080808080808080100a00321f0a1461737361792e636f7272656c6174696f6e5f696412070a0572756e2d31321f0a13757365725f6167656e742e6f726967696e616c12080a066375726c2f3832390a0f61756469742e7265636f72642e696412260a2432653063376466612d306135372d343361382d616232372d64376332646633343838653532250a0e61756469742e6163746f722e696412130a11616c696365406578616d706c652e636f6d321a0a1061756469742e6163746f722e7479706512060a047573657232190a0c61756469742e616374696f6e12090a07415050524f5645321a0a0d61756469742e6f7574636f6d6512090a0773756363657373321f0a0f61756469742e7461726765742e6964120c0a0a617070726f76616c2d3132210a1161756469742e7461726765742e74797065120c0a0a636865636b706f696e7432200a0f61756469742e736f757263652e6964120d0a0b3230332e302e3131332e37321b0a1161756469742e736f757263652e7479706512060a04697076345957cf2a17aab2eb18', '2026-11-26 20:35:20.040222+00', 1795725320040222994, '{"quarantine":{"encoding":"protobuf","kind":"record","payloadSha256":"bc7cc80877991fd9d99847785fefc7c22da01182a1e289c0cba7ec0cfc8ea7cf","reason":"event_name is empty: set the name of what happened, such as user.login","recordId":"2e0c7dfa-0a57-43a8-ab27-d7c2df3488e5"},"sinkTimeUnixNano":"1795725320040222994"}', '\x87cd89360f9256e846c26fa0ace45c0a88523ee7b7c2051d83910d9d334dd9ba');
INSERT INTO public.quarantine VALUES (12, '\xca2fd00fa001190744c15c317643ab092e7048ce086a243e2be9437c898de1bb', 'batch', NULL, 'cannot be parsed', 'protobuf', '\xffff', '2026-11-26 20:35:20.064914+00', 1795725320064914983, '{"quarantine":{"encoding":"protobuf","kind":"batch","payloadSha256":"ca2fd00fa001190744c15c317643ab092e7048ce086a243e2be9437c898de1bb","reason":"cannot be parsed","recordId":null},"sinkTimeUnixNano":"1795725320064914983"}', '\x2b5050e15dbae596f5cc88a3fdafb7aea3eb12aa9c49a3e30a94e3ffe04e26d8');


--
-- Data for Name: refusals; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.refusals OVERRIDING SYSTEM VALUE VALUES (1, 'w.example.com+00000000', 13, 409, '14
', 'old 0
', '2026-11-26 00:00:00+00');


--
-- Data for Name: schema_version; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.schema_version VALUES (1);
INSERT INTO public.schema_version VALUES (2);


--
-- Data for Name: witnessed; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.witnessed VALUES (13);


--
-- Name: refusals_number_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.refusals_number_seq', 1, true);


--
-- Name: archived archived_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.archived
    ADD CONSTRAINT archived_pkey PRIMARY KEY (leaf_index);


--
-- Name: archives archives_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.archives
    ADD CONSTRAINT archives_pkey PRIMARY KEY (first_leaf);


--
-- Name: audit_log audit_log_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (leaf_index);


--
-- Name: checkpoints checkpoints_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.checkpoints
    ADD CONSTRAINT checkpoints_pkey PRIMARY KEY (size);


--
-- Name: cosignatures cosignatures_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.cosignatures
    ADD CONSTRAINT cosignatures_pkey PRIMARY KEY (size, witness);


--
-- Name: ids ids_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ids
    ADD CONSTRAINT ids_pkey PRIMARY KEY (key);


--
-- Name: meta meta_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (name);


--
-- Name: nodes nodes_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.nodes
    ADD CONSTRAINT nodes_pkey PRIMARY KEY (level, node_index);


--
-- Name: quarantine quarantine_digest_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.quarantine
    ADD CONSTRAINT quarantine_digest_key UNIQUE (digest);


--
-- Name: quarantine quarantine_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.quarantine
    ADD CONSTRAINT quarantine_pkey PRIMARY KEY (leaf_index);


--
-- Name: refusals refusals_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.refusals
    ADD CONSTRAINT refusals_pkey PRIMARY KEY (number);


--
-- Name: schema_version schema_version_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (version);


--
-- Name: witnessed witnessed_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.witnessed
    ADD CONSTRAINT witnessed_pkey PRIMARY KEY (size);


--
-- Name: idx_archived_quarantine; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX idx_archived_quarantine ON public.archived USING btree (content_hash) WHERE (kind = 'quarantine'::text);


--
-- Name: idx_archived_record; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_archived_record ON public.archived USING hash (record_id) WHERE (record_id IS NOT NULL);


--
-- Name: idx_audit_actor; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_audit_actor ON public.audit_log USING btree ("left"(actor_id, 256), "left"(actor_type, 256));


--
-- Name: idx_audit_correlation; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_audit_correlation ON public.audit_log USING btree ("left"(correlation_id, 256));


--
-- Name: idx_audit_event_type; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_audit_event_type ON public.audit_log USING btree ("left"(event_type, 256));


--
-- Name: idx_audit_inserted; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_audit_inserted ON public.audit_log USING btree (inserted_at DESC);


--
-- Name: idx_audit_resource; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_audit_resource ON public.audit_log USING btree ("left"(resource_type, 256), "left"(resource_id, 256));


--
-- Name: idx_quarantine_record; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_quarantine_record ON public.quarantine USING hash (record_id);


--
-- Name: archived append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.archived FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

ALTER TABLE public.archived ENABLE ALWAYS TRIGGER append_only;


--
-- Name: archives append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.archives FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

ALTER TABLE public.archives ENABLE ALWAYS TRIGGER append_only;


--
-- Name: audit_log append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit_log FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

ALTER TABLE public.audit_log ENABLE ALWAYS TRIGGER append_only;


--
-- Name: checkpoints append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.checkpoints FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

ALTER TABLE public.checkpoints ENABLE ALWAYS TRIGGER append_only;


--
-- Name: cosignatures append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.cosignatures FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

ALTER TABLE public.cosignatures ENABLE ALWAYS TRIGGER append_only;


--
-- Name: ids append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.ids FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

ALTER TABLE public.ids ENABLE ALWAYS TRIGGER append_only;


--
-- Name: meta append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.meta FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

ALTER TABLE public.meta ENABLE ALWAYS TRIGGER append_only;


--
-- Name: nodes append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.nodes FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

ALTER TABLE public.nodes ENABLE ALWAYS TRIGGER append_only;


--
-- Name: quarantine append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.quarantine FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

ALTER TABLE public.quarantine ENABLE ALWAYS TRIGGER append_only;


--
-- Name: refusals append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.refusals FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

ALTER TABLE public.refusals ENABLE ALWAYS TRIGGER append_only;


--
-- Name: schema_version append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.schema_version FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

ALTER TABLE public.schema_version ENABLE ALWAYS TRIGGER append_only;


--
-- Name: witnessed append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.witnessed FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

ALTER TABLE public.witnessed ENABLE ALWAYS TRIGGER append_only;


--
-- Name: SCHEMA public; Type: ACL; Schema: -; Owner: -
--

GRANT USAGE ON SCHEMA public TO assay_audit_writer;
GRANT USAGE ON SCHEMA public TO assay_audit_reader;


--
-- Name: TABLE archived; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.archived TO assay_audit_writer;
GRANT SELECT ON TABLE public.archived TO assay_audit_reader;


--
-- Name: TABLE archives; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.archives TO assay_audit_writer;
GRANT SELECT ON TABLE public.archives TO assay_audit_reader;


--
-- Name: TABLE audit_log; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.audit_log TO assay_audit_writer;
GRANT SELECT ON TABLE public.audit_log TO assay_audit_reader;


--
-- Name: TABLE checkpoints; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.checkpoints TO assay_audit_writer;
GRANT SELECT ON TABLE public.checkpoints TO assay_audit_reader;


--
-- Name: TABLE cosignatures; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.cosignatures TO assay_audit_writer;
GRANT SELECT ON TABLE public.cosignatures TO assay_audit_reader;


--
-- Name: TABLE flowstone_audit_log; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.flowstone_audit_log TO assay_audit_writer;
GRANT SELECT ON TABLE public.flowstone_audit_log TO assay_audit_reader;


--
-- Name: TABLE ids; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.ids TO assay_audit_writer;
GRANT SELECT ON TABLE public.ids TO assay_audit_reader;


--
-- Name: TABLE meta; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.meta TO assay_audit_writer;
GRANT SELECT ON TABLE public.meta TO assay_audit_reader;


--
-- Name: TABLE nodes; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.nodes TO assay_audit_writer;
GRANT SELECT ON TABLE public.nodes TO assay_audit_reader;


--
-- Name: TABLE quarantine; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.quarantine TO assay_audit_writer;
GRANT SELECT ON TABLE public.quarantine TO assay_audit_reader;


--
-- Name: TABLE refusals; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.refusals TO assay_audit_writer;
GRANT SELECT ON TABLE public.refusals TO assay_audit_reader;


--
-- Name: TABLE schema_version; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.schema_version TO assay_audit_writer;
GRANT SELECT ON TABLE public.schema_version TO assay_audit_reader;


--
-- Name: TABLE witnessed; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.witnessed TO assay_audit_writer;
GRANT SELECT ON TABLE public.witnessed TO assay_audit_reader;


--
-- PostgreSQL database dump complete
--


