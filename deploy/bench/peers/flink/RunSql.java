import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Optional;
import java.util.stream.Stream;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

/**
 * Runs a script of Flink SQL in this process, on the newest checkpoint of its folder if there is one.
 *
 * <p>{@code java RunSql.java SCRIPT STATE_FOLDER NAME=VALUE...}; the values replace {@code ${NAME}} in the script.
 */
public final class RunSql {
    public static void main(String[] arguments) throws Exception {
        String script = Files.readString(Path.of(arguments[0]));
        Path folder = Path.of(arguments[1]).toAbsolutePath();
        for (int i = 2; i < arguments.length; i++) {
            String[] pair = arguments[i].split("=", 2);
            script = script.replace("${" + pair[0] + "}", pair[1]);
        }
        Configuration options = new Configuration();
        options.setString("execution.target", "local");
        options.setString("parallelism.default", "1");
        options.setString("pipeline.object-reuse", "true");
        options.setString("state.backend.type", "hashmap"); // on the heap: all state of the bench fits in memory
        options.setString("execution.checkpointing.interval", "10s");
        options.setString("execution.checkpointing.dir", folder.toUri().toString());
        options.setString("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
        options.setString("restart-strategy.type", "none"); // a failure is to be seen
        options.setString("taskmanager.memory.managed.size", "64m");
        options.setString("table.exec.state.ttl", "20min"); // of dedup; windows clear their own state
        options.setString("table.local-time-zone", "UTC");
        options.setString("table.exec.source.idle-timeout", "5s"); // a partition without records holds nothing up
        newestCheckpoint(folder).ifPresent(path -> {
            options.setString("execution.state-recovery.path", path.toUri().toString());
            System.err.println("resuming from " + path);
        });
        TableEnvironment tables =
                TableEnvironment.create(EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(options).build());
        int set = script.indexOf("EXECUTE STATEMENT SET");
        for (String statement : script.substring(0, set).split(";\\s*\n")) {
            if (!statement.isBlank()) {
                tables.executeSql(statement);
            }
        }
        tables.executeSql(script.substring(set)).await();
        System.exit(0);
    }

    private static Optional<Path> newestCheckpoint(Path folder) throws Exception {
        if (!Files.exists(folder)) {
            return Optional.empty();
        }
        try (Stream<Path> files = Files.walk(folder)) {
            return files.filter(file -> file.getFileName().toString().equals("_metadata"))
                    .map(Path::getParent)
                    .max(Comparator.comparingLong(path -> path.toFile().lastModified()));
        }
    }
}
