BEGIN TRANSACTION;
CREATE TABLE archived (            -- the hashes of archived entries
    leaf_index INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,            -- record, quarantine
    content_hash BLOB NOT NULL,    -- integrity hash of a record, digest of a quarantine entry
    record_id TEXT,                -- of a quarantine entry; ids has the id of a record
    sink_time_unix_nano INTEGER NOT NULL,
    leaf_hash BLOB NOT NULL
) STRICT;
CREATE TABLE archives (            -- the oldest entries, which left the tables above
    first_leaf INTEGER PRIMARY KEY,
    end_leaf INTEGER NOT NULL,     -- the leaf after the last
    older_than TEXT NOT NULL,      -- sink time, RFC 3339, UTC, microseconds
    name TEXT NOT NULL,            -- of the archive's folder
    sha256 BLOB NOT NULL,          -- of the archive's manifest
    archived_at TEXT NOT NULL      -- RFC 3339, UTC, microseconds
) STRICT;
CREATE TABLE audit_log (
    leaf_index INTEGER PRIMARY KEY,
    id TEXT NOT NULL,           -- unique by the primary keys of ids and recent_ids
    event_type TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    actor_type TEXT NOT NULL,
    resource_type TEXT,
    resource_id TEXT,
    action TEXT,
    details TEXT NOT NULL DEFAULT '{}',
    correlation_id TEXT,
    client_ip TEXT,
    user_agent TEXT,
    inserted_at TEXT NOT NULL,  -- RFC 3339, UTC, microseconds
    integrity_hash BLOB NOT NULL,
    leaf TEXT NOT NULL,         -- canonical: record, resource, sink timestamp
    leaf_hash BLOB NOT NULL
) STRICT;
INSERT INTO "audit_log" VALUES(0,'276b8969-bcf2-4065-961b-c26ec6322bba','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T20:35:14.938058Z',X'B02942A78176CC0CCA30D461EEF802932A192D67F51CF2D141683F0E384721CE','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"276b8969-bcf2-4065-961b-c26ec6322bba"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725314889421963","timeUnixNano":"1795725314889421963"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725314938058166"}',X'DB3B196537F99A14D52A5FFF747B288634A17C52C0BC1A3AB00117384AD6F017');
INSERT INTO "audit_log" VALUES(1,'7a58bade-6266-4d74-b30c-c20ba91d47af','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T20:35:14.938058Z',X'B12AA88565E0E2F2F4FFA0FD5A9E1E7B197D0138CD2AC196861F941843760CF0','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"7a58bade-6266-4d74-b30c-c20ba91d47af"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725314937804087","timeUnixNano":"1795725314937804087"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725314938058166"}',X'BD19C6E1F26FEF2234C06A703EDB13C2BE94A70D3374E9C784BD916801940C7F');
INSERT INTO "audit_log" VALUES(2,'f8ef8226-239c-4bb3-941a-79e00aeb24d9','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T20:35:14.938058Z',X'34C6EA5648EB6E819E015C38521EBA3DDAEA36E5AD4215BF6C214F3A6856440E','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"f8ef8226-239c-4bb3-941a-79e00aeb24d9"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725314937895423","timeUnixNano":"1795725314937895423"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725314938058166"}',X'72FB8017668532C003148657091F4EF06425E1CC4B1906C0AD6ED6F1B7B94C10');
INSERT INTO "audit_log" VALUES(3,'15490b5e-5081-4e55-bcf6-029224a88529','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T20:35:14.938058Z',X'5A9A7750421429B22345116EAF8E3C986653349AD0E42C4C8DD3E18CBD7E9330','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"15490b5e-5081-4e55-bcf6-029224a88529"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725314937934932","timeUnixNano":"1795725314937934932"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725314938058166"}',X'5BA7F2FC6E9F416671F399C95D3370CC6161DDD6763CB4A12D38BC2362AAA58D');
INSERT INTO "audit_log" VALUES(4,'9e960408-1f2c-4f46-87e4-7846cc055e7c','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T20:35:14.938058Z',X'DE2F6F44D147A2308B4558E094047D7D0A46FFCF94803060F9AE6BA2E337B7B5','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"9e960408-1f2c-4f46-87e4-7846cc055e7c"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725314937971006","timeUnixNano":"1795725314937971006"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725314938058166"}',X'7E71800CBC9AF1B4EB3B6F69E3133BE5C65E748269E4BDA508EB5CD6F720BA13');
INSERT INTO "audit_log" VALUES(5,'5bfad70b-c51f-409b-bca5-933c07664a59','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T20:35:15.179250Z',X'DB484A79A9FC3025647D09F11176585878DBB353CBFB60CA4A50B92E6337C6A2','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"5bfad70b-c51f-409b-bca5-933c07664a59"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725315176162842","timeUnixNano":"1795725315176162842"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725315179250325"}',X'6FF0637B8CF3E75BB2057F55B56BBBBEC4EAABC63426CA2AABB33C52C4091583');
INSERT INTO "audit_log" VALUES(6,'5171eccb-3637-400b-aaec-83cbcb30c20a','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T20:35:15.179250Z',X'C277C5866F7BEE2A82320899B0CE116F5218C52E8F426BAEC8621AF3D7599442','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"5171eccb-3637-400b-aaec-83cbcb30c20a"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725315176315871","timeUnixNano":"1795725315176315871"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725315179250325"}',X'3BBDD591676FBA7F2C4540D1EB6D97CF01DBFC0EAA67B30F5B2CACF15259FBA1');
INSERT INTO "audit_log" VALUES(7,'9c43de08-ef1d-43e9-bac9-a0cf33d21e86','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T20:35:15.179250Z',X'4F525BC34F04B580F55F935B27D4B5872A754DE3EDB8B64B552B28613527CE6A','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"9c43de08-ef1d-43e9-bac9-a0cf33d21e86"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725315176359436","timeUnixNano":"1795725315176359436"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725315179250325"}',X'41AD6A7F2F59578A85B852D95E2F17AD025B2FFF9589E08CABA6EA7E27CFBBD8');
INSERT INTO "audit_log" VALUES(8,'21eae3ac-65ed-4611-b910-6eaceb12b7e5','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T20:35:15.179250Z',X'6A18C8368F80B50B2EDBB939C76B2F2ACEEBDCF2C172C92F949709AE0F7F2058','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"21eae3ac-65ed-4611-b910-6eaceb12b7e5"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725315176399145","timeUnixNano":"1795725315176399145"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725315179250325"}',X'499275667B8A4F800F1EA65D72F8395CB81EC245A267C52E4B9CCF41EE457450');
INSERT INTO "audit_log" VALUES(9,'9aaf84ff-a444-43f2-b627-7b9123104c46','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T20:35:15.179250Z',X'EA3E11CFA9EE9B80E13D5990F269CE5533604E02B0BD11FD440B5F3177CF38F3','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"9aaf84ff-a444-43f2-b627-7b9123104c46"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795725315179098779","timeUnixNano":"1795725315179098779"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795725315179250325"}',X'531977277E7BEF2895D381D32D5D2199AEFC3F9E0267C3D9D66556573E1949B1');
CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY,
    note TEXT NOT NULL             -- signed note, https://c2sp.org/tlog-checkpoint
) STRICT;
INSERT INTO "checkpoints" VALUES(0,'audit.test/log
0
47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=

— audit.test/log +z/9Rufw4Wo3xhBLuxnFjiXCOLdgEZgHB03XcdGTz6ip0wWBnZ3dajeYOQrerR0bDto7sb2B/zSHZIGMLW06MCRUMgc=
');
INSERT INTO "checkpoints" VALUES(5,'audit.test/log
5
4D06eSAPe65FZD8FFMJ8YsYhYv78kjDQiG2qsf+qeFM=

— audit.test/log +z/9RqwkUfdBpi9NMj322t/6RTE/VijDCM9n7nSp7rADaD+oIzdl0EitVuNxlsHczh0nOXcxpTC5ORajZPERwmNQqwE=
');
INSERT INTO "checkpoints" VALUES(10,'audit.test/log
10
6JBaJQA2jP6rR3Y6M0E90AnBroeTBBkLqq+tCyeyKRA=

— audit.test/log +z/9Rhwks+O/GxWlm/3963/oZNB7aa/zVl4rqASZjt2gzZjnMV6uJO2kW/HPDqUb/UphGs1hwbH9MQjXPK5/t49OfwU=
');
INSERT INTO "checkpoints" VALUES(13,'audit.test/log
13
MEvxgQRqwxo1cs4uKycqSZYfZjOh6ghFB0Wm0qmSLiM=

— audit.test/log +z/9RlG4kaTvDB0tYcZ5PjMRMayVRfcoepGb+K3modJoJ7GWr7XbGj/PmUp40eGmdQIlZ50h17Ftq2o5Y0Q9W+WywAI=
');
CREATE TABLE cosignatures (        -- of witnesses, https://c2sp.org/tlog-cosignature
    size INTEGER NOT NULL,         -- of the checkpoint
    witness TEXT NOT NULL,         -- its name, +, the id of its key
    line TEXT NOT NULL,            -- signature line
    PRIMARY KEY (size, witness)
) STRICT, WITHOUT ROWID;
INSERT INTO "cosignatures" VALUES(13,'w.example.com+47dc0f1d','— w.example.com R9wPHQAAAABlU/EAQdkpX97W6EbcO71HV3Vw6wTf2u2WtvpD6n22+9fsX2Gl29wgoq9g964Lo/h1okZ9Wb7jyaHUUc8b9rX2mdblCA==
');
CREATE TABLE ids (                 -- record id (a UUID as 16 bytes, other ids as text) to leaf
    id ANY PRIMARY KEY,
    leaf_index INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "ids" VALUES(X'15490B5E50814E55BCF6029224A88529',3);
INSERT INTO "ids" VALUES(X'276B8969BCF24065961BC26EC6322BBA',0);
INSERT INTO "ids" VALUES(X'5BFAD70BC51F409BBCA5933C07664A59',5);
INSERT INTO "ids" VALUES(X'7A58BADE62664D74B30CC20BA91D47AF',1);
INSERT INTO "ids" VALUES(X'9E9604081F2C4F4687E47846CC055E7C',4);
INSERT INTO "ids" VALUES(X'F8EF8226239C4BB3941A79E00AEB24D9',2);
CREATE TABLE meta (
    name TEXT PRIMARY KEY,      -- origin, verifier_key
    value TEXT NOT NULL
) STRICT;
INSERT INTO "meta" VALUES('origin','audit.test/log');
INSERT INTO "meta" VALUES('verifier_key','audit.test/log+fb3ffd46+AdZ/eHyG3P+8smZ49VslammguXMhulmhTRIBjIOqPCfB');
CREATE TABLE nodes (               -- roots of complete subtrees, every fourth level
    level INTEGER NOT NULL,
    node_index INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (level, node_index)
) STRICT, WITHOUT ROWID;
CREATE TABLE quarantine (
    leaf_index INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,   -- SHA-256 of the payload: a batch that comes again is kept once
    kind TEXT NOT NULL,            -- record: ResourceLogs with the one record; batch: bytes nobody could read
    record_id TEXT,
    reason TEXT NOT NULL,
    encoding TEXT NOT NULL,        -- protobuf, json
    payload BLOB NOT NULL,
    inserted_at TEXT NOT NULL,
    sink_time_unix_nano INTEGER NOT NULL,
    leaf TEXT NOT NULL,            -- canonical: the digest and the other columns
    leaf_hash BLOB NOT NULL
) STRICT;
INSERT INTO "quarantine" VALUES(10,X'C69C045D57B0BFE3B976BE7B02C61209F2C8A04BFD54BB06C5715EFE570B7AFD','record','f9ed0f39-0501-435d-929f-9bc3f5d1975b','audit.actor.type is ''robot'', allowed: service, system, user','protobuf',X'0A310A180A0C736572766963652E6E616D6512080A066F72646572730A150A087265736F75726365120921000000000000F03F1280040A0012FB03091846F9F6A8B2EB182A4D324B0A160A06726561736F6E120C0A0A6C6F6F6B7320676F6F640A120A0573636F7265120921000000000000F03F0A1D0A05706172747312142A120A0218010A0A188080808080808080100A00321F0A1461737361792E636F7272656C6174696F6E5F696412070A0572756E2D31321F0A13757365725F6167656E742E6F726967696E616C12080A066375726C2F3832390A0F61756469742E7265636F72642E696412260A2466396564306633392D303530312D343335642D393239662D39626333663564313937356232250A0E61756469742E6163746F722E696412130A11616C696365406578616D706C652E636F6D321B0A1061756469742E6163746F722E7479706512070A05726F626F7432190A0C61756469742E616374696F6E12090A07415050524F5645321A0A0D61756469742E6F7574636F6D6512090A0773756363657373321F0A0F61756469742E7461726765742E6964120C0A0A617070726F76616C2D3132210A1161756469742E7461726765742E74797065120C0A0A636865636B706F696E7432200A0F61756469742E736F757263652E6964120D0A0B3230332E302E3131332E37321B0A1161756469742E736F757263652E7479706512060A0469707634591846F9F6A8B2EB18621D666C6F7773746F6E652E636865636B706F696E742E617070726F766564','2026-11-26T20:35:15.205275Z',1795725315205275451,'{"quarantine":{"encoding":"protobuf","kind":"record","payloadSha256":"c69c045d57b0bfe3b976be7b02c61209f2c8a04bfd54bb06c5715efe570b7afd","reason":"audit.actor.type is ''robot'', allowed: service, system, user","recordId":"f9ed0f39-0501-435d-929f-9bc3f5d1975b"},"sinkTimeUnixNano":"1795725315205275451"}',X'F8A2D2557A3C86A368C9984335479F1061F728A2EEB2811020BF53AB4C6D609E');
INSERT INTO "quarantine" VALUES(11,X'068280D5C94129D9DA9CCA4C63CDE7933247BEF1F06D7C7C4E881748D77F9DED','record','a1445e84-3270-4743-b815-a1a910b96c36','event_name is empty: set the name of what happened, such as user.login','protobuf',X'0A310A180A0C736572766963652E6E616D6512080A066F72646572730A150A087265736F75726365120921000000000000F03F12E0030A0012DB03090072FBF6A8B2EB182A4D324B0A160A06726561736F6E120C0A0A6C6F6F6B7320676F6F640A120A0573636F7265120921000000000000F03F0A1D0A05706172747312142A120A0218010A0A188080808080808080100A00321F0A1461737361792E636F7272656C6174696F6E5F696412070A0572756E2D31321F0A13757365725F6167656E742E6F726967696E616C12080A066375726C2F3832390A0F61756469742E7265636F72642E696412260A2461313434356538342D333237302D343734332D623831352D61316139313062393663333632250A0E61756469742E6163746F722E696412130A11616C696365406578616D706C652E636F6D321A0A1061756469742E6163746F722E7479706512060A047573657232190A0C61756469742E616374696F6E12090A07415050524F5645321A0A0D61756469742E6F7574636F6D6512090A0773756363657373321F0A0F61756469742E7461726765742E6964120C0A0A617070726F76616C2D3132210A1161756469742E7461726765742E74797065120C0A0A636865636B706F696E7432200A0F61756469742E736F757263652E6964120D0A0B3230332E302E3131332E37321B0A1161756469742E736F757263652E7479706512060A0469707634590072FBF6A8B2EB18','2026-11-26T20:35:15.205275Z',1795725315205275451,'{"quarantine":{"encoding":"protobuf","kind":"record","payloadSha256":"068280d5c94129d9da9cca4c63cde7933247bef1f06d7c7c4e881748d77f9ded","reason":"event_name is empty: set the name of what happened, such as user.login","recordId":"a1445e84-3270-4743-b815-a1a910b96c36"},"sinkTimeUnixNano":"1795725315205275451"}',X'1F44B917A58C732E7273061E22A04296E76CE0B318CC4808421B857A3AF4A745');
INSERT INTO "quarantine" VALUES(12,X'CA2FD00FA001190744C15C317643AB092E7048CE086A243E2BE9437C898DE1BB','batch',NULL,'cannot be parsed','protobuf',X'FFFF','2026-11-26T20:35:15.211561Z',1795725315211561221,'{"quarantine":{"encoding":"protobuf","kind":"batch","payloadSha256":"ca2fd00fa001190744c15c317643ab092e7048ce086a243e2be9437c898de1bb","reason":"cannot be parsed","recordId":null},"sinkTimeUnixNano":"1795725315211561221"}',X'2FCD60A1826432F44E143E2A9430605799F099BF13B8E82A1C69F97AF2AAF377');
CREATE TABLE recent_ids (          -- the newest ids, until they are merged into ids in their order
    id ANY PRIMARY KEY,
    leaf_index INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "recent_ids" VALUES(X'21EAE3AC65ED4611B9106EACEB12B7E5',8);
INSERT INTO "recent_ids" VALUES(X'5171ECCB3637400BAAEC83CBCB30C20A',6);
INSERT INTO "recent_ids" VALUES(X'9AAF84FFA44443F2B6277B9123104C46',9);
INSERT INTO "recent_ids" VALUES(X'9C43DE08EF1D43E9BAC9A0CF33D21E86',7);
CREATE TABLE refusals (            -- answers of witnesses that contradict the log: evidence of a fork
    number INTEGER PRIMARY KEY,
    witness TEXT NOT NULL,
    size INTEGER NOT NULL,         -- of the checkpoint
    status INTEGER NOT NULL,       -- of the HTTP answer
    answer TEXT NOT NULL,
    request TEXT NOT NULL,         -- with the checkpoint and the consistency proof
    refused_at TEXT NOT NULL       -- RFC 3339, UTC, microseconds
) STRICT;
INSERT INTO "refusals" VALUES(1,'w.example.com+00000000',13,409,'14
','old 0
','2026-11-26T00:00:00.000000Z');
CREATE TABLE witnessed (           -- checkpoints that had the quorum of the sink's policy
    size INTEGER PRIMARY KEY
) STRICT;
INSERT INTO "witnessed" VALUES(13);
CREATE VIEW flowstone_audit_log AS
SELECT id, event_type, actor_id, actor_type, resource_type, resource_id, action, details, correlation_id,
       client_ip, user_agent, inserted_at
FROM audit_log;
CREATE INDEX idx_quarantine_record ON quarantine (record_id);
CREATE INDEX idx_archived_record ON archived (record_id) WHERE record_id IS NOT NULL;
CREATE UNIQUE INDEX idx_archived_quarantine ON archived (content_hash) WHERE kind = 'quarantine';
CREATE TRIGGER quarantine_no_update BEFORE UPDATE ON quarantine
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on quarantine'); END;
CREATE TRIGGER quarantine_no_delete BEFORE DELETE ON quarantine
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on quarantine'); END;
CREATE TRIGGER checkpoints_no_update BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on checkpoints'); END;
CREATE TRIGGER checkpoints_no_delete BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on checkpoints'); END;
CREATE TRIGGER meta_no_update BEFORE UPDATE ON meta
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on meta'); END;
CREATE TRIGGER meta_no_delete BEFORE DELETE ON meta
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on meta'); END;
CREATE TRIGGER cosignatures_no_update BEFORE UPDATE ON cosignatures
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on cosignatures'); END;
CREATE TRIGGER cosignatures_no_delete BEFORE DELETE ON cosignatures
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on cosignatures'); END;
CREATE TRIGGER witnessed_no_update BEFORE UPDATE ON witnessed
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on witnessed'); END;
CREATE TRIGGER witnessed_no_delete BEFORE DELETE ON witnessed
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on witnessed'); END;
CREATE TRIGGER refusals_no_update BEFORE UPDATE ON refusals
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on refusals'); END;
CREATE TRIGGER refusals_no_delete BEFORE DELETE ON refusals
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on refusals'); END;
CREATE TRIGGER archives_no_update BEFORE UPDATE ON archives
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on archives'); END;
CREATE TRIGGER archives_no_delete BEFORE DELETE ON archives
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on archives'); END;
CREATE TRIGGER archived_no_update BEFORE UPDATE ON archived
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on archived'); END;
CREATE TRIGGER archived_no_delete BEFORE DELETE ON archived
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on archived'); END;
CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on audit_log'); END;
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on audit_log'); END;
CREATE TRIGGER nodes_no_update BEFORE UPDATE ON nodes
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on nodes'); END;
CREATE TRIGGER nodes_no_delete BEFORE DELETE ON nodes
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on nodes'); END;
CREATE TRIGGER ids_no_update BEFORE UPDATE ON ids
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on ids'); END;
CREATE TRIGGER ids_no_delete BEFORE DELETE ON ids
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on ids'); END;
CREATE TRIGGER quarantine_no_replace BEFORE INSERT ON quarantine
WHEN EXISTS (SELECT 1 FROM quarantine WHERE digest = NEW.digest OR leaf_index = NEW.leaf_index)
BEGIN SELECT RAISE(ABORT, 'append-only: no REPLACE on quarantine'); END;
CREATE TRIGGER checkpoints_no_replace BEFORE INSERT ON checkpoints
WHEN EXISTS (SELECT 1 FROM checkpoints WHERE size = NEW.size)
BEGIN SELECT RAISE(ABORT, 'append-only: no REPLACE on checkpoints'); END;
CREATE TRIGGER meta_no_replace BEFORE INSERT ON meta
WHEN EXISTS (SELECT 1 FROM meta WHERE name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'append-only: no REPLACE on meta'); END;
CREATE TRIGGER cosignatures_no_replace BEFORE INSERT ON cosignatures
WHEN EXISTS (SELECT 1 FROM cosignatures WHERE size = NEW.size AND witness = NEW.witness)
BEGIN SELECT RAISE(ABORT, 'append-only: no REPLACE on cosignatures'); END;
CREATE TRIGGER witnessed_no_replace BEFORE INSERT ON witnessed
WHEN EXISTS (SELECT 1 FROM witnessed WHERE size = NEW.size)
BEGIN SELECT RAISE(ABORT, 'append-only: no REPLACE on witnessed'); END;
CREATE TRIGGER refusals_no_replace BEFORE INSERT ON refusals
WHEN EXISTS (SELECT 1 FROM refusals WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'append-only: no REPLACE on refusals'); END;
CREATE TRIGGER archives_no_replace BEFORE INSERT ON archives
WHEN EXISTS (SELECT 1 FROM archives WHERE first_leaf = NEW.first_leaf)
BEGIN SELECT RAISE(ABORT, 'append-only: no REPLACE on archives'); END;
CREATE TRIGGER archived_no_replace BEFORE INSERT ON archived
WHEN EXISTS (SELECT 1 FROM archived WHERE leaf_index = NEW.leaf_index)
BEGIN SELECT RAISE(ABORT, 'append-only: no REPLACE on archived'); END;
PRAGMA user_version = 4;
COMMIT;
