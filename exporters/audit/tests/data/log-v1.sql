BEGIN TRANSACTION;
CREATE TABLE audit_log (
    leaf_index INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
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
INSERT INTO "audit_log" VALUES(0,'f25a36d4-4982-4e0d-816c-eb91d79c2e20','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-0-0','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T12:46:03.270666Z',X'34CA80C8D104275E3162FD39E61B28C96C55E404EB79671EC9F83E2AF0E4F2A4','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"f25a36d4-4982-4e0d-816c-eb91d79c2e20"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-0-0"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795697163270122238","timeUnixNano":"1795697163270122238"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795697163270666019"}',X'E534B0FE0BE112DD0CF28659A907BE013CA926604A3F19278B6ABE8C2B9FB0E9');
INSERT INTO "audit_log" VALUES(1,'02f857a1-dfa3-49b2-907a-0f3e6ccc570c','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-0-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T12:46:03.270666Z',X'A49D4A1EA06BB463667D63DA4D5D96D880C523317ED366762BC8036C551830ED','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"02f857a1-dfa3-49b2-907a-0f3e6ccc570c"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-0-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795697163270443066","timeUnixNano":"1795697163270443066"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795697163270666019"}',X'63A3D132BCE5EFA3E702CAC94629252F0ADF7E6EC011B344B0123ACE01467BC8');
INSERT INTO "audit_log" VALUES(2,'8aa73450-78b7-4db2-b1a9-717bf1d53589','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-0-2','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T12:46:03.270666Z',X'4E4D6FCF9096D8F8CFC44BE4ED6A757AD7828BEB0D7C419079F1847333ABEEB3','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"8aa73450-78b7-4db2-b1a9-717bf1d53589"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-0-2"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795697163270495034","timeUnixNano":"1795697163270495034"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795697163270666019"}',X'FEDB7CC1C237258CD82DC7C5252BFCA460D06D97CC95F914EC2D3828402ADB2A');
INSERT INTO "audit_log" VALUES(3,'c2adb0fb-8fe8-463e-885b-541301f5a6ca','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-0-3','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T12:46:03.270666Z',X'1F05232B4AFE1701A19384419BFDBA9F995A04F8A345806865ECDF8D21D4FDA0','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"c2adb0fb-8fe8-463e-885b-541301f5a6ca"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-0-3"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795697163270535534","timeUnixNano":"1795697163270535534"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795697163270666019"}',X'E9060788DE2604A776172AA3A954D5A0484431E6A3610F50377DC51B67BE9DFF');
INSERT INTO "audit_log" VALUES(4,'dbe1cac0-c8d5-44b1-9f54-87f8dbb4e8d4','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-0-4','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T12:46:03.270666Z',X'AE58F918B7A6661409A288F37B724AF90F03EC74E4AE03D5F9EAF437AF2723C4','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"dbe1cac0-c8d5-44b1-9f54-87f8dbb4e8d4"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-0-4"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795697163270574382","timeUnixNano":"1795697163270574382"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795697163270666019"}',X'2452FB6AA50D8D3786C363A3FE23E7F943E3D2FB59C16F678EC9A238ED1C55A5');
INSERT INTO "audit_log" VALUES(5,'14b21d8e-e9c1-4648-a2c1-d4f170bc0c0a','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1-0','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T12:46:03.299189Z',X'5331934DB37DE2E74FF44424E661405AF4916E1D6A63BA6D25071396C2A74974','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"14b21d8e-e9c1-4648-a2c1-d4f170bc0c0a"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1-0"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795697163298531218","timeUnixNano":"1795697163298531218"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795697163299189178"}',X'24F318CFB3B5B3D657473C9A3C99D5F64C1174B8D4D6932D428787602D890A8D');
INSERT INTO "audit_log" VALUES(6,'1c6a6f15-f953-497a-9ae4-64c2cdd1bd8f','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1-1','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T12:46:03.299189Z',X'325252E714EA453DB88F61D5B887D551A15035ED513AF0144F1F29A07BAF278B','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"1c6a6f15-f953-497a-9ae4-64c2cdd1bd8f"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1-1"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795697163298794390","timeUnixNano":"1795697163298794390"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795697163299189178"}',X'C7928F917F77A43E00D21D57820EF1CA469A55B40DC8D8F5CF0F2EBC245F20CA');
INSERT INTO "audit_log" VALUES(7,'36824067-5fa0-420a-8455-c02c5241abed','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1-2','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T12:46:03.299189Z',X'C226E96B74B3658FE9935798CD0C4A7C9D55F0A25E9A02B36225EFEAA94A89DB','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"36824067-5fa0-420a-8455-c02c5241abed"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1-2"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795697163298841240","timeUnixNano":"1795697163298841240"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795697163299189178"}',X'960AC503427E814B5D9EF5C1A37682E8AB49A54EFD3F06D9358B860B3D527E92');
INSERT INTO "audit_log" VALUES(8,'c470c6e9-d6ee-4d93-95f4-a2b091703a6b','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1-3','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T12:46:03.299189Z',X'BAA52BDD65C6EB9764CF56FC6AE45BC8E195BD16C677F073490B122B4143883B','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"c470c6e9-d6ee-4d93-95f4-a2b091703a6b"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1-3"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795697163298986316","timeUnixNano":"1795697163298986316"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795697163299189178"}',X'69D27FF356670D8FAEBE37D28A00475D96954DDE711FC0FAEC0A991556BB9D39');
INSERT INTO "audit_log" VALUES(9,'7050f7c0-77fd-4ca7-b313-826ea2add9a1','flowstone.checkpoint.approved','alice@example.com','user','checkpoint','approval-1-4','APPROVE','{"parts":[1,1152921504606846976,null],"reason":"looks good","score":1.0}','run-1','203.0.113.7','curl/8','2026-11-26T12:46:03.299189Z',X'89CDA4271C2AFBFF3C8F6BD0118B4403A1717A711782E4307D28158610294DE9','{"record":{"attributes":{"assay.correlation_id":{"stringValue":"run-1"},"audit.action":{"stringValue":"APPROVE"},"audit.actor.id":{"stringValue":"alice@example.com"},"audit.actor.type":{"stringValue":"user"},"audit.outcome":{"stringValue":"success"},"audit.record.id":{"stringValue":"7050f7c0-77fd-4ca7-b313-826ea2add9a1"},"audit.source.id":{"stringValue":"203.0.113.7"},"audit.source.type":{"stringValue":"ipv4"},"audit.target.id":{"stringValue":"approval-1-4"},"audit.target.type":{"stringValue":"checkpoint"},"user_agent.original":{"stringValue":"curl/8"}},"body":{"kvlistValue":{"values":{"parts":{"arrayValue":{"values":[{"intValue":1},{"intValue":"1152921504606846976"},{}]}},"reason":{"stringValue":"looks good"},"score":{"doubleValue":1}}}},"eventName":"flowstone.checkpoint.approved","observedTimeUnixNano":"1795697163299027357","timeUnixNano":"1795697163299027357"},"resource":{"attributes":{"resource":{"doubleValue":1},"service.name":{"stringValue":"orders"}}},"sinkTimeUnixNano":"1795697163299189178"}',X'DDD4EDA7D9AEB8FA7271D92BA525D9A94ABFF5E571B8F0F1EA16A146DACD94B8');
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
U8S4G+IhYxxkJ6/eZUBeSTVZ9uyrs4DLe628b31LXGo=

— audit.test/log +z/9RnGZSoWtk4VEs1ttQM7BK8gvVaBavJ+22ky9FcK9BNeytQpUdfeGVVdxIGi0GNvao1ZQUa+9k67dS9AuzCIZmw0=
');
INSERT INTO "checkpoints" VALUES(10,'audit.test/log
10
eWuO3n7Al+dDGU1uNq8En5NJl3+35pA8GA1xnbDbAjg=

— audit.test/log +z/9RoHdGuj6Vc9solcgIn4pZEP+/qQbKl1G6ChPClOUnRnWa5+vXaHLtfUEKPrxvsl5D36s7WxgKQ9LEmrF+OAMKgI=
');
INSERT INTO "checkpoints" VALUES(13,'audit.test/log
13
g+HP9lWzDHFi21QXkRZp4ZrJxsJHWTxlfd1voV+38AE=

— audit.test/log +z/9Rh69TEGfLo0m7E23DbyjtEkygeeXAdFUhIzgLVg9hpCV8BGFF6dsAQ1P/LtpN5eHAyy/78+Bu6ILoLQsj5Dl/Aw=
');
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
    leaf_hash BLOB NOT NULL
) STRICT;
INSERT INTO "quarantine" VALUES(10,X'77B0C2BB719C0BBA0E5BF9F1DF30589BFD4E4290FDD3CB9B3C31670D07800D94','record','b9562dbc-3f14-4dd7-a181-c81ad1195849','audit.actor.type is ''robot'', allowed: service, system, user','protobuf',X'0A310A180A0C736572766963652E6E616D6512080A066F72646572730A150A087265736F75726365120921000000000000F03F1280040A0012FB030955AE90580E99EB182A4D324B0A160A06726561736F6E120C0A0A6C6F6F6B7320676F6F640A120A0573636F7265120921000000000000F03F0A1D0A05706172747312142A120A0218010A0A188080808080808080100A00321F0A1461737361792E636F7272656C6174696F6E5F696412070A0572756E2D31321F0A13757365725F6167656E742E6F726967696E616C12080A066375726C2F3832390A0F61756469742E7265636F72642E696412260A2462393536326462632D336631342D346464372D613138312D63383161643131393538343932250A0E61756469742E6163746F722E696412130A11616C696365406578616D706C652E636F6D321B0A1061756469742E6163746F722E7479706512070A05726F626F7432190A0C61756469742E616374696F6E12090A07415050524F5645321A0A0D61756469742E6F7574636F6D6512090A0773756363657373321F0A0F61756469742E7461726765742E6964120C0A0A617070726F76616C2D3132210A1161756469742E7461726765742E74797065120C0A0A636865636B706F696E7432200A0F61756469742E736F757263652E6964120D0A0B3230332E302E3131332E37321B0A1161756469742E736F757263652E7479706512060A04697076345955AE90580E99EB18621D666C6F7773746F6E652E636865636B706F696E742E617070726F766564','2026-11-26T12:46:03.331990Z',1795697163331990736,X'C0AFFE11836265DBBA5C3DC14B5051AC5B0265990397DCE2EF2FAE2B1518721D');
INSERT INTO "quarantine" VALUES(11,X'8AFD556BB35CCFA8DE95E49BB251375F49F92861D368DF1E116D46B84BC9FFB5','record','34f72c36-e7ba-42a3-acd0-53839f81c0e6','event_name is empty: set the name of what happened, such as user.login','protobuf',X'0A310A180A0C736572766963652E6E616D6512080A066F72646572730A150A087265736F75726365120921000000000000F03F12E0030A0012DB0309172893580E99EB182A4D324B0A160A06726561736F6E120C0A0A6C6F6F6B7320676F6F640A120A0573636F7265120921000000000000F03F0A1D0A05706172747312142A120A0218010A0A188080808080808080100A00321F0A1461737361792E636F7272656C6174696F6E5F696412070A0572756E2D31321F0A13757365725F6167656E742E6F726967696E616C12080A066375726C2F3832390A0F61756469742E7265636F72642E696412260A2433346637326333362D653762612D343261332D616364302D35333833396638316330653632250A0E61756469742E6163746F722E696412130A11616C696365406578616D706C652E636F6D321A0A1061756469742E6163746F722E7479706512060A047573657232190A0C61756469742E616374696F6E12090A07415050524F5645321A0A0D61756469742E6F7574636F6D6512090A0773756363657373321F0A0F61756469742E7461726765742E6964120C0A0A617070726F76616C2D3132210A1161756469742E7461726765742E74797065120C0A0A636865636B706F696E7432200A0F61756469742E736F757263652E6964120D0A0B3230332E302E3131332E37321B0A1161756469742E736F757263652E7479706512060A046970763459172893580E99EB18','2026-11-26T12:46:03.331990Z',1795697163331990736,X'06FFF549FDADE7ED7898E09ADA4E62F8E3CC555B804CE28F5E7D8EC4549D1FB5');
INSERT INTO "quarantine" VALUES(12,X'CA2FD00FA001190744C15C317643AB092E7048CE086A243E2BE9437C898DE1BB','batch',NULL,'cannot be parsed','protobuf',X'FFFF','2026-11-26T12:46:03.341891Z',1795697163341891756,X'8FA1C412A20F8D26F9AEDEFEE2B1C754E23E5C993B18BC0EC1154F188F717012');
CREATE INDEX idx_audit_event_type ON audit_log (event_type);
CREATE INDEX idx_audit_actor ON audit_log (actor_id, actor_type);
CREATE INDEX idx_audit_resource ON audit_log (resource_type, resource_id);
CREATE INDEX idx_audit_correlation ON audit_log (correlation_id);
CREATE INDEX idx_audit_inserted ON audit_log (inserted_at DESC);
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
PRAGMA user_version = 1;
