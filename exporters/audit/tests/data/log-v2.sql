BEGIN TRANSACTION;
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
INSERT INTO "audit_log" VALUES(0,'1bc49229-1bb7-4ce4-a9fc-512a7796d758','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T17:08:22.082273Z',X'904C2E4ED10AFF01702E90DCB909D066FCF3A68BAB57D78E54930A87CDABEE68','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"1bc49229-1bb7-4ce4-a9fc-512a7796d758"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795712902081850274","timeUnixNano":"1795712902081850274"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795712902082273795"}',X'0736D6D979DBC996DCD7DADB3766E4EC2B28E69FDE67867A566EF55111880249');
INSERT INTO "audit_log" VALUES(1,'0210c981-363c-4a40-a47a-595848bff596','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T17:08:22.082273Z',X'557E2FC447C725B5D30AA6808E0292BC428A4E9444CBA36002FD03D311AF3D8B','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"0210c981-363c-4a40-a47a-595848bff596"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795712902082182850","timeUnixNano":"1795712902082182850"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795712902082273795"}',X'F9929246B245D9097455E288D53D94D3E28E9F566B5756F99CD27ADA82EF9944');
INSERT INTO "audit_log" VALUES(2,'80a5f4ae-6b7e-4efe-b0c2-420ab60c93a8','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T17:08:22.084097Z',X'E5F5C53F030ED3339B2F8AB4D5CB61DF8CC95A82D0CCE63798BBA159F0FDE70C','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"80a5f4ae-6b7e-4efe-b0c2-420ab60c93a8"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795712902083898217","timeUnixNano":"1795712902083898217"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795712902084097414"}',X'AB506A7F672CE96790D86AAD1AB6D9149D700ABE8CD51D35F918735CA5DFB09A');
INSERT INTO "audit_log" VALUES(3,'e8454168-2c30-4ca3-bd12-8cec16ee3b6f','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T17:08:22.084097Z',X'AAC547B797FF99C1C941781DE98CA87A8C5B7114C8430619A2C62A7A940830A1','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"e8454168-2c30-4ca3-bd12-8cec16ee3b6f"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795712902083989353","timeUnixNano":"1795712902083989353"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795712902084097414"}',X'38E98DCD81E2BEED814D46879C886E4A1F1C286F6F49AAD695F6701A26A52A5B');
INSERT INTO "audit_log" VALUES(4,'d63f0e8d-ede6-440f-b64b-04f9dce5e42a','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T17:08:22.085018Z',X'7270D13D4671C72F2E106818C1F8CEA82D5C4BA14A4A1EA1D705403F8FD4DD66','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"d63f0e8d-ede6-440f-b64b-04f9dce5e42a"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795712902084877907","timeUnixNano":"1795712902084877907"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795712902085018356"}',X'480056C0B38F990FECB52002B563449DA2B507A5A5E0176AC32EDA753A4E045F');
INSERT INTO "audit_log" VALUES(5,'13d0ab7b-6722-480f-adcc-4d4bee905972','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T17:08:22.085018Z',X'8CA70FEB951FB7E777B395211EE3C0691215DD2DB57556E78B9583D514C878C5','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"13d0ab7b-6722-480f-adcc-4d4bee905972"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795712902084945788","timeUnixNano":"1795712902084945788"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795712902085018356"}',X'94544531C7A088881BCC8F54148F8B9EE2C00C16270F749C386966E0AEB73C5D');
INSERT INTO "audit_log" VALUES(6,'8170cc4c-e1a5-4ae2-9c6a-bcc0edadb0dd','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T17:08:22.087698Z',X'80B8C9F74464B532B5B23F699AF1323598D87A01CB187E39E3E6C180AD213C6E','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"8170cc4c-e1a5-4ae2-9c6a-bcc0edadb0dd"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795712902087533716","timeUnixNano":"1795712902087533716"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795712902087698382"}',X'D41980E06F5EDDB683FF4D9AE1E9EF0B85FD58AEC48B9084D24E5535B11F951D');
INSERT INTO "audit_log" VALUES(7,'a3c5ddb5-0d8f-406c-87cb-b355d2d0d47b','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T17:08:22.087698Z',X'734FC2518D4FA52C7E3169136BE9B8B54CB505AD664DB1BCC852F16171D10C91','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"a3c5ddb5-0d8f-406c-87cb-b355d2d0d47b"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795712902087629339","timeUnixNano":"1795712902087629339"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795712902087698382"}',X'2D95E4511160A7C4873A95E7AB6D62C3D1D29D3BA05B2D3BE55E629AE261856A');
INSERT INTO "audit_log" VALUES(8,'3865dd34-fc5b-4b4f-90cf-5d37bce69c80','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T17:08:22.088753Z',X'3D23DD2FA1374E67CFC28A35B6F58993BD2B4ECF3088C2E234B15C057D38B6A6','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"3865dd34-fc5b-4b4f-90cf-5d37bce69c80"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795712902088593701","timeUnixNano":"1795712902088593701"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795712902088753359"}',X'D66042C7F939E3719379B30C738C1823F3BC0AE887CAB0840785C5F73ED2D87F');
INSERT INTO "audit_log" VALUES(9,'d08b7b91-cc90-4246-8357-7c54e16fbcff','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T17:08:22.088753Z',X'20CA1A6861440900F0A1EA378B4D43864570525A19454AFE766066EEAE94E828','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"d08b7b91-cc90-4246-8357-7c54e16fbcff"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795712902088686198","timeUnixNano":"1795712902088686198"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795712902088753359"}',X'0EEA72C5A6F58FDC863FCC7B891DBE935884AFF156F027AC0629A5C659D13684');
CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY,
    note TEXT NOT NULL             -- signed note, https://c2sp.org/tlog-checkpoint
) STRICT;
INSERT INTO "checkpoints" VALUES(0,'audit.test/log
0
47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=

— audit.test/log +z/9Rufw4Wo3xhBLuxnFjiXCOLdgEZgHB03XcdGTz6ip0wWBnZ3dajeYOQrerR0bDto7sb2B/zSHZIGMLW06MCRUMgc=
');
INSERT INTO "checkpoints" VALUES(6,'audit.test/log
6
pWNiFjPscRAWT82QOeiLcYqds/FylN1DPjHhAE+sswc=

— audit.test/log +z/9RrklaoCFWqjKXGEIoW9lVPuURtplKT+vz5mla8Us0FdKMzZQdGe/SqviEWLeNvOhD5wTpf0Y5pziZHcxONGeDww=
');
INSERT INTO "checkpoints" VALUES(12,'audit.test/log
12
a3I1/WKho+MTCbqA3OD+nnd+3D5Z4xo/TWm+TCgeNbc=

— audit.test/log +z/9Rg/g2H25mAkwmkYu3HnBhmRXSfP7ZdD2oUgv8YDhAoZ6nuivsuoIa0AUgxfxl34MNi5bkwlSxRtIU0RgNwp+FA4=
');
INSERT INTO "checkpoints" VALUES(13,'audit.test/log
13
6/OjTdUNRpF6BLYNclsty7zaCaLEx9FJMO2yM1hHfRE=

— audit.test/log +z/9Rk3GqJHydg6YWBadJohdz3Mzx2ybfsPT91ryK6WcDSkljpDNba1lW+M7BdHqbBSTmBkS1/4LwLcwZQZRcmdNZAg=
');
CREATE TABLE ids (                 -- record id (a UUID as 16 bytes, other ids as text) to leaf
    id ANY PRIMARY KEY,
    leaf_index INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
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
INSERT INTO "quarantine" VALUES(10,X'4B19E05EA8F445D641E237122FF2263A970967535ED8CCD62D262B888AD98BE8','record','755bf9d3-dd48-421a-a4d6-ea6bdebe7ba1','audit.actor.type is ''robot'', allowed: service, system, user','protobuf',X'0A310A180A0C736572766963652E6E616D6512080A066F72646572730A150A087265736F75726365120921000000000000F03F1280040A0012FB03097862A4CF5EA7EB182A4D324B0A160A06726561736F6E120C0A0A6C6F6F6B7320676F6F640A120A0573636F7265120921000000000000F03F0A1D0A05706172747312142A120A0218010A0A188080808080808080100A00321F0A1461737361792E636F7272656C6174696F6E5F696412070A0572756E2D31321F0A13757365725F6167656E742E6F726967696E616C12080A066375726C2F3832390A0F61756469742E7265636F72642E696412260A2437353562663964332D646434382D343231612D613464362D65613662646562653762613132250A0E61756469742E6163746F722E696412130A11616C696365406578616D706C652E636F6D321B0A1061756469742E6163746F722E7479706512070A05726F626F7432190A0C61756469742E616374696F6E12090A07415050524F5645321A0A0D61756469742E6F7574636F6D6512090A0773756363657373321F0A0F61756469742E7461726765742E6964120C0A0A617070726F76616C2D3132210A1161756469742E7461726765742E74797065120C0A0A636865636B706F696E7432200A0F61756469742E736F757263652E6964120D0A0B3230332E302E3131332E37321B0A1161756469742E736F757263652E7479706512060A0469707634597862A4CF5EA7EB18621D666C6F7773746F6E652E636865636B706F696E742E617070726F766564','2026-11-26T17:08:22.089899Z',1795712902089899848,'{"quarantine":{"encoding":"protobuf","kind":"record","payloadSha256":"4b19e05ea8f445d641e237122ff2263a970967535ed8ccd62d262b888ad98be8","reason":"audit.actor.type is ''robot'', allowed: service, system, user","recordId":"755bf9d3-dd48-421a-a4d6-ea6bdebe7ba1"},"sinkTimeUnixNano":"1795712902089899848"}',X'3639124F2E4E42C1CDE84202F554BF914AAD9C94658EDF207AA990BC3C63FAFC');
INSERT INTO "quarantine" VALUES(11,X'B23B8005340C9232491B18AFBBD9233B350231BDB0D1BB2BD160A6260F6EF165','record','0ab234dc-790d-4baa-b35f-a774abf34f24','event_name is empty: set the name of what happened, such as user.login','protobuf',X'0A310A180A0C736572766963652E6E616D6512080A066F72646572730A150A087265736F75726365120921000000000000F03F12E0030A0012DB0309836DA6CF5EA7EB182A4D324B0A160A06726561736F6E120C0A0A6C6F6F6B7320676F6F640A120A0573636F7265120921000000000000F03F0A1D0A05706172747312142A120A0218010A0A188080808080808080100A00321F0A1461737361792E636F7272656C6174696F6E5F696412070A0572756E2D31321F0A13757365725F6167656E742E6F726967696E616C12080A066375726C2F3832390A0F61756469742E7265636F72642E696412260A2430616232333464632D373930642D346261612D623335662D61373734616266333466323432250A0E61756469742E6163746F722E696412130A11616C696365406578616D706C652E636F6D321A0A1061756469742E6163746F722E7479706512060A047573657232190A0C61756469742E616374696F6E12090A07415050524F5645321A0A0D61756469742E6F7574636F6D6512090A0773756363657373321F0A0F61756469742E7461726765742E6964120C0A0A617070726F76616C2D3132210A1161756469742E7461726765742E74797065120C0A0A636865636B706F696E7432200A0F61756469742E736F757263652E6964120D0A0B3230332E302E3131332E37321B0A1161756469742E736F757263652E7479706512060A046970763459836DA6CF5EA7EB18','2026-11-26T17:08:22.089899Z',1795712902089899848,'{"quarantine":{"encoding":"protobuf","kind":"record","payloadSha256":"b23b8005340c9232491b18afbbd9233b350231bdb0d1bb2bd160a6260f6ef165","reason":"event_name is empty: set the name of what happened, such as user.login","recordId":"0ab234dc-790d-4baa-b35f-a774abf34f24"},"sinkTimeUnixNano":"1795712902089899848"}',X'6591DB74B724C9674A90FE600A971E0D6A145F13849E60F94B800729133E783E');
INSERT INTO "quarantine" VALUES(12,X'CA2FD00FA001190744C15C317643AB092E7048CE086A243E2BE9437C898DE1BB','batch',NULL,'cannot be parsed','protobuf',X'FFFF','2026-11-26T17:08:22.092825Z',1795712902092825539,'{"quarantine":{"encoding":"protobuf","kind":"batch","payloadSha256":"ca2fd00fa001190744c15c317643ab092e7048ce086a243e2be9437c898de1bb","reason":"cannot be parsed","recordId":null},"sinkTimeUnixNano":"1795712902092825539"}',X'AE2CC8B9AA0DD2D74E3D5C5F77E39C30C2798C75607A767F8EDC8245B143C192');
CREATE TABLE recent_ids (          -- the newest ids, until they are merged into ids in their order
    id ANY PRIMARY KEY,
    leaf_index INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "recent_ids" VALUES(X'0210C981363C4A40A47A595848BFF596',1);
INSERT INTO "recent_ids" VALUES(X'13D0AB7B6722480FADCC4D4BEE905972',5);
INSERT INTO "recent_ids" VALUES(X'1BC492291BB74CE4A9FC512A7796D758',0);
INSERT INTO "recent_ids" VALUES(X'3865DD34FC5B4B4F90CF5D37BCE69C80',8);
INSERT INTO "recent_ids" VALUES(X'80A5F4AE6B7E4EFEB0C2420AB60C93A8',2);
INSERT INTO "recent_ids" VALUES(X'8170CC4CE1A54AE29C6ABCC0EDADB0DD',6);
INSERT INTO "recent_ids" VALUES(X'A3C5DDB50D8F406C87CBB355D2D0D47B',7);
INSERT INTO "recent_ids" VALUES(X'D08B7B91CC90424683577C54E16FBCFF',9);
INSERT INTO "recent_ids" VALUES(X'D63F0E8DEDE6440FB64B04F9DCE5E42A',4);
INSERT INTO "recent_ids" VALUES(X'E84541682C304CA3BD128CEC16EE3B6F',3);
CREATE VIEW flowstone_audit_log AS
SELECT id, event_type, actor_id, actor_type, resource_type, resource_id, action, details, correlation_id,
       client_ip, user_agent, inserted_at
FROM audit_log;
CREATE INDEX idx_quarantine_record ON quarantine (record_id);
CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on audit_log'); END;
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on audit_log'); END;
CREATE TRIGGER quarantine_no_update BEFORE UPDATE ON quarantine
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on quarantine'); END;
CREATE TRIGGER quarantine_no_delete BEFORE DELETE ON quarantine
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on quarantine'); END;
CREATE TRIGGER nodes_no_update BEFORE UPDATE ON nodes
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on nodes'); END;
CREATE TRIGGER nodes_no_delete BEFORE DELETE ON nodes
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on nodes'); END;
CREATE TRIGGER checkpoints_no_update BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on checkpoints'); END;
CREATE TRIGGER checkpoints_no_delete BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on checkpoints'); END;
CREATE TRIGGER meta_no_update BEFORE UPDATE ON meta
BEGIN SELECT RAISE(ABORT, 'append-only: no UPDATE on meta'); END;
CREATE TRIGGER meta_no_delete BEFORE DELETE ON meta
BEGIN SELECT RAISE(ABORT, 'append-only: no DELETE on meta'); END;
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
COMMIT;
PRAGMA user_version = 2;
